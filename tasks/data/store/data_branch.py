"""Commit new data versions, each with a tag, to the git branch `data` without touching the working tree or the index.

If the branch does not exist, or HEAD contains all of it (after `git merge data`), a new version starts from HEAD.
Otherwise it starts from the branch, so that earlier batches are kept. If HEAD has meanwhile pinned another version of
the dataset, the new version is refused, because only a person can decide which one is right.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.data.store.git import NoRepositoryError, ask, git, reason_of
from stillhouse.tasks.data.store.revision import POINTER, read_pinned, read_pinned_md5
from stillhouse.tasks.errors import DataError, ServiceError

BRANCH = "refs/heads/data"
ABSENT = "0" * 40
AUTHOR = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (
    ("NAME", "Stillhouse"), ("EMAIL", "stillhouse@localhost"),
)}  # fmt: skip
"""Author and committer of these commits, whatever name this machine's git has configured."""


@dataclass(frozen=True)
class Base:
    """The starting point of a new version."""

    commit: str
    tip: str
    """Commit of the branch, or `ABSENT`. If somebody has moved the branch since, it is not moved again."""


@dataclass(frozen=True)
class Landed:
    """A batch that a commit made into a version."""

    tag: str
    subject: str


def base_of(root: Path, dataset: str) -> Base:
    """Find the starting point of a dataset's new version, by the rule of this module.

    Raises:
        DataError: there is no repository, the branch is checked out, or HEAD and the branch have diverged.
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
    """Commit a data.dvc on the branch and tag it. Either both happen or neither.

    Raises:
        DataError: git cannot write.
        ServiceError: somebody has moved the branch meanwhile. A retry helps.
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
        msg = f"the branch data was not moved ({reason_of(done)}); run the ingestion again"
        raise ServiceError(msg)


def message_of(subject: str, dataset: str, digest: str, data_version: str) -> str:
    """Write a commit message from which `find_landed` finds the batch again."""
    return f"{subject}\n\n{_trailer(dataset, digest)}\nData-version: {data_version}\n"


def find_landed(root: Path, commit: str, dataset: str, digest: str) -> Landed | None:
    """Find the version that was made from a batch. If its tag is missing after a kill, the tag is added."""
    found = ["log", "-1", "--fixed-strings", f"--grep={_trailer(dataset, digest)}"]
    form = "--format=%H%n%s%n%(trailers:key=Data-version,valueonly,separator=%x20)"
    lines = _git(root, *found, form, commit).splitlines()
    if not lines:
        return None
    tag = tag_of(dataset, lines[2])
    _git(root, "update-ref", f"refs/tags/{tag}", lines[0])
    return Landed(tag, lines[1])


def find_newest_tag(root: Path, dataset: str) -> str | None:
    """Return the tag of the version that the branch `data` pins, or `None` if no batch made that version."""
    if not _commit(root, BRANCH):
        return None
    pattern = f"refs/tags/{tag_of(dataset, f'*-{read_pinned_md5(root, BRANCH, dataset)}')}"
    names = _git(root, "for-each-ref", "--format=%(refname)", pattern).splitlines()
    return names[0].removeprefix("refs/tags/") if names else None


def find_newest_md5(root: Path, dataset: str) -> str:
    """Return DVC's MD5 of a dataset's newest version: a newer one on the branch, or else the deployed one.

    Raises:
        DataError: data.dvc or the repository cannot be read.
    """
    deployed, head, tip = read_pinned_md5(root, None, dataset), _commit(root, "HEAD"), _commit(root, BRANCH)
    if not tip or _has(root, head, tip):
        return deployed
    _, there, before = _pins(root, dataset, head, tip)
    return deployed if there is None or there == before else there


def tag_of(dataset: str, data_version: str) -> str:
    """Return the git tag of a data version."""
    return f"data/{dataset}/{data_version}"


def version_of(tag: str) -> str:
    """Return the data version of a git tag."""
    return tag.rpartition("/")[2]


def _refuse_parted(root: Path, dataset: str, head: str, tip: str) -> None:
    """Refuse to choose if both HEAD and the branch have changed the pinned version since they diverged."""
    here, there, before = _pins(root, dataset, head, tip)
    if there is None or here not in {there, before}:
        msg = (
            f"HEAD pins a version of {dataset} that the branch data does not come from; decide which is right: merge "
            "HEAD into data, or delete the branch and move its batches from accepted back to incoming"
        )
        raise DataError(msg)


def _pins(root: Path, dataset: str, head: str, tip: str) -> tuple[str | None, str | None, str | None]:
    """Return the versions pinned by HEAD, by the branch, and by their common ancestor."""
    common = ask(root, "merge-base", head, tip)
    here, there = (read_pinned(root, commit).get(dataset) for commit in (head, tip))
    return here, there, read_pinned(root, common).get(dataset) if common else None


def _trailer(dataset: str, digest: str) -> str:
    return f"Landed: {dataset}/{digest}"


def _commit(root: Path, revision: str) -> str:
    """Return the commit of a revision, or `None` if there is no such revision or no repository.

    Raises:
        DataError: git cannot read the repository.
    """
    try:
        return ask(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or ""
    except NoRepositoryError:
        return ""


def _has(root: Path, head: str, commit: str) -> bool:
    """Tell whether a commit is in the history of another commit."""
    return bool(head) and ask(root, "merge-base", "--is-ancestor", commit, head) is not None


def _git(root: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> str:
    done = git(root, *arguments, stdin=stdin, environment=environment)
    if done.returncode:
        msg = f"git {arguments[0]} failed in {root} ({reason_of(done)}); mend that and run the ingestion again"
        raise DataError(msg)
    return done.stdout.strip()
