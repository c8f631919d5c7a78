"""New data versions as commits on the git branch `data`, each with its tag, made beside the working tree and the index.

A new version is made from HEAD where the branch does not exist or HEAD has all of it (`git merge data` was done), and
else from the branch, so that what landed before is kept. Where HEAD has meanwhile come to pin another version of the
dataset by itself, nobody can say which is right: that is refused, for a person to decide.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.data.store.git import NoRepositoryError, ask, git, reason_of
from stillhouse.tasks.data.store.revision import POINTER, pinned_datasets, pinned_md5
from stillhouse.tasks.errors import DataError, ServiceError

BRANCH = "refs/heads/data"
ABSENT = "0" * 40
AUTHOR = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
    ("NAME", "Stillhouse"), ("EMAIL", "stillhouse@localhost"),
)}  # fmt: skip
"""Whoever this machine's git is configured for."""


@dataclass(frozen=True)
class Base:
    """What a new version is made from."""

    commit: str
    tip: str
    """Where the branch was, or `ABSENT`: a branch that somebody moved since is not moved again."""


@dataclass(frozen=True)
class Landed:
    """A batch that a commit made a version of."""

    tag: str
    subject: str


def base_of(root: Path, dataset: str) -> Base:
    """Find what a new version of a dataset is made from, by the rule above.

    Raises:
        DataError: there is no repository, the branch is checked out, or HEAD and the branch have parted.
    """
    head, tip = _commit(root, "HEAD"), _commit(root, BRANCH)
    if not head:
        msg = f"{root} is no git repository with a commit, which a new data version needs; make it one or clone one"
        raise DataError(msg)
    if f"branch {BRANCH}" in _git(root, "worktree", "list", "--porcelain").splitlines():
        msg = "the branch data is checked out, and new versions would move it; check out another branch there"
        raise DataError(msg)
    if not tip or _has(root, head, tip):
        return Base(head, tip or ABSENT)
    _refuse_parted(root, dataset, head, tip)
    return Base(tip, tip)


def commit_version(root: Path, base: Base, pointer: str, tag: str, message: str) -> None:
    """Commit a data.dvc on the branch and tag it, both or neither.

    Raises:
        DataError: git cannot write.
        ServiceError: somebody has moved the branch meanwhile; the same again will do.
    """
    path = _git(root, "rev-parse", "--show-prefix") + POINTER
    with tempfile.TemporaryDirectory(prefix="stillhouse-index-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
        blob = _git(root, "hash-object", "-w", "--stdin", stdin=pointer)
        _git(root, "read-tree", base.commit, environment=index)
        _git(root, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", environment=index)
        tree = _git(root, "write-tree", environment=index)
    commit = _git(root, "commit-tree", tree, "-p", base.commit, "-F", "-", stdin=message, environment=AUTHOR)
    before = _commit(root, f"refs/tags/{tag}") or ABSENT
    wanted = f"update {BRANCH} {commit} {base.tip}\nupdate refs/tags/{tag} {commit} {before}\n"
    done = git(root, "update-ref", "--stdin", stdin=wanted)
    if done.returncode:
        msg = f"the branch data was not moved ({reason_of(done)}); run the refresh again"
        raise ServiceError(msg)


def message_of(subject: str, dataset: str, digest: str, data_version: str) -> str:
    """Write a commit message from which `landed` finds the batch again."""
    return f"{subject}\n\n{_trailer(dataset, digest)}\nData-version: {data_version}\n"


def landed(root: Path, commit: str, dataset: str, digest: str) -> Landed | None:
    """Find the version that was made of a batch, tagging it if whoever made it was killed before."""
    found = ["log", "-1", "--fixed-strings", f"--grep={_trailer(dataset, digest)}"]
    form = "--format=%H%n%s%n%(trailers:key=Data-version,valueonly,separator=%x20)"
    lines = _git(root, *found, form, commit).splitlines()
    if not lines:
        return None
    tag = tag_of(dataset, lines[2])
    _git(root, "update-ref", f"refs/tags/{tag}", lines[0])
    return Landed(tag, lines[1])


def newest_tag(root: Path, dataset: str) -> str | None:
    """Name the version of a dataset that the branch `data` has, if it was made of what landed."""
    if not _commit(root, BRANCH):
        return None
    pattern = f"refs/tags/{tag_of(dataset, f'*-{pinned_md5(root, BRANCH, dataset)}')}"
    names = _git(root, "for-each-ref", "--format=%(refname)", pattern).splitlines()
    return names[0].removeprefix("refs/tags/") if names else None


def newest_md5(root: Path, dataset: str) -> str:
    """Look up what DVC calls the newest version of a dataset: one that landed since the deployed one, or that one.

    Raises:
        DataError: data.dvc or the repository cannot be read.
    """
    deployed, head, tip = pinned_md5(root, None, dataset), _commit(root, "HEAD"), _commit(root, BRANCH)
    if not tip or _has(root, head, tip):
        return deployed
    _, there, before = _pins(root, dataset, head, tip)
    return deployed if there is None or there == before else there


def tag_of(dataset: str, data_version: str) -> str:
    """Name a data version as git does."""
    return f"data/{dataset}/{data_version}"


def version_of(tag: str) -> str:
    """Name the data version of a tag."""
    return tag.rpartition("/")[2]


def _refuse_parted(root: Path, dataset: str, head: str, tip: str) -> None:
    """Refuse to choose between what HEAD and the branch pin, where both have changed it since they parted."""
    here, there, before = _pins(root, dataset, head, tip)
    if there is None or here not in {there, before}:
        msg = (
            f"HEAD pins a version of {dataset} that the branch data does not come from; decide which is right: merge "
            "HEAD into data, or delete the branch and move its batches from accepted back to incoming"
        )
        raise DataError(msg)


def _pins(root: Path, dataset: str, head: str, tip: str) -> tuple[str | None, str | None, str | None]:
    """Give what HEAD pins, what the branch pins, and what was pinned where they parted."""
    common = ask(root, "merge-base", head, tip)
    here, there = (pinned_datasets(root, commit).get(dataset) for commit in (head, tip))
    return here, there, pinned_datasets(root, common).get(dataset) if common else None


def _trailer(dataset: str, digest: str) -> str:
    return f"Landed: {dataset}/{digest}"


def _commit(root: Path, revision: str) -> str:
    """Give the commit of a revision, or nothing where there is none, or no repository.

    Raises:
        DataError: git cannot read the repository.
    """
    try:
        return ask(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or ""
    except NoRepositoryError:
        return ""


def _has(root: Path, head: str, commit: str) -> bool:
    """Tell whether a commit is part of another's history."""
    return bool(head) and ask(root, "merge-base", "--is-ancestor", commit, head) is not None


def _git(root: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> str:
    done = git(root, *arguments, stdin=stdin, environment=environment)
    if done.returncode:
        msg = f"git {arguments[0]} failed in {root} ({reason_of(done)}); mend that and run the refresh again"
        raise DataError(msg)
    return done.stdout.strip()
