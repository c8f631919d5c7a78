"""The version of the running code, as git names it, and the code of another commit.

Git's answer counts only if git tracks this code. If the code lies in another repository, in none, or in a repository
that git refuses to read, its version is the digest of its source files.
"""

import logging
import shutil
import tarfile
import tempfile
from pathlib import Path

from stillhouse.tasks.artifacts.artifact import file_digest, json_digest
from stillhouse.tasks.data.store.git import NoRepositoryError, ask, git, reason_of
from stillhouse.tasks.errors import DataError, StillhouseError

CODE = ("dags", "models", "tasks")
IMPORTED = "src"
"""Folder of the links through which the code is imported."""
DIGESTED = "source-"
"""Prefix of the version of code that has no commit."""
SOURCES = (".py", ".html", ".css")
RUNNING = Path(__file__).resolve().parents[2]
logger = logging.getLogger(__name__)


def code_version(root: Path) -> str:
    """Return the commit, with `-dirty` if files differ from it, or `source-` and the digest of the source files.

    A module that git does not track also makes the code dirty.
    """
    try:
        commit = _commit(root)
    except NoRepositoryError:
        commit = None
    except DataError as error:
        logger.warning("the code is named by the digest of its files: %s", error)
        commit = None
    return commit or name_sources(root)


def name_sources(root: Path) -> str:
    """Return `source-` and the digest of the source files. If the folder has none, digest those of the running code."""
    base = root if _sources(root) else RUNNING
    files = {path.relative_to(base).as_posix(): file_digest(path) for path in _sources(base)}
    return DIGESTED + json_digest(files)[:12]


def unpack_code(root: Path, commit: str, folder: Path) -> Path:
    """Write the code of a commit into a folder.

    Raises:
        StillhouseError: the code has no commit, or the repository does not contain that commit.
    """
    if commit.startswith(DIGESTED):
        msg = f"code {commit} had no commit, and the code here is {code_version(root)}; work with the release it was"
        raise StillhouseError(msg)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _expect_links(root, commit)
    with tempfile.TemporaryDirectory() as scratch:
        packed = Path(scratch, "code.tar")
        done = git(root, "archive", "--format=tar", f"--output={packed}", f"{commit}^{{commit}}", *CODE, IMPORTED)
        if done.returncode:
            msg = f"code {commit} is no commit of {root} ({reason_of(done)}); fetch it, or work where it is"
            raise StillhouseError(msg)
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="data")
    return folder


def _expect_links(root: Path, commit: str) -> None:
    """Refuse code from before the package `stillhouse` existed, because it cannot be imported beside this code."""
    there = ask(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
    if there and not ask(root, "rev-parse", "--verify", "--quiet", f"{commit}:{IMPORTED}"):
        msg = f"code {commit} is from before the package stillhouse; check that commit out and work there"
        raise StillhouseError(msg)


def _commit(root: Path) -> str | None:
    """Ask git for the commit of the code. Returns None if the repository around the code does not track it.

    Raises:
        DataError: git cannot answer.
    """
    top = ask(root, "rev-parse", "--show-toplevel")
    tracked = ask(root, "ls-files", "--", *CODE)
    if not tracked and (_sources(root) or top is None or Path(top) != root.resolve()):
        return None
    commit = ask(root, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    if commit and not commit.endswith("-dirty") and _list_untracked(root):
        commit += "-dirty"
    return commit


def _list_untracked(root: Path) -> str | None:
    """List the modules that are in no commit, ignored ones included."""
    return ask(root, "ls-files", "--others", "--", *(f"{folder}/*.py" for folder in CODE))


def _sources(root: Path) -> list[Path]:
    found = (path for folder in CODE for path in (root / folder).rglob("*") if path.suffix in SOURCES)
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))
