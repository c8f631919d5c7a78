"""Ask git: the one place that starts it. A no of git's is an answer; where git cannot answer, its own reason is told.

Git is asked about the repository of a folder, whatever repository the caller's shell has set for it.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from stillhouse.tasks.errors import DataError

SECONDS = 60
ELSEWHERE = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
)
"""Variables that point git at another repository than that of the folder; hooks set them."""


class NoRepositoryError(DataError):
    """The folder lies in no git repository."""


def git(
    root: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in a folder; a call that fails is an answer, too.

    Raises:
        DataError: git is not installed, cannot be started, or does not answer in a minute.
    """
    try:
        return subprocess.run(  # noqa: S603 - a revision cannot start with a dash (stillhouse.tasks.recipe.recipe.DATA_REVISION)
            ["git", "-C", str(root), *arguments],  # noqa: S607
            input=stdin,
            env={**_own_environment(), **(environment or {})},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        msg = (
            "git is not installed, so a data version can be neither looked up nor made; install git, or leave "
            "data.revision out of the recipe"
        )
        raise DataError(msg) from error
    except OSError as error:
        msg = f"git cannot be started ({error.strerror}); mend its permissions"
        raise DataError(msg) from error
    except subprocess.TimeoutExpired as error:
        msg = f"git {arguments[0]} did not answer within {SECONDS} s in {root}; look at the disk, then run it again"
        raise DataError(msg) from error


def ask(root: Path, *arguments: str) -> str | None:
    """Give what git prints, or None where it says no, which it does without a word.

    Raises:
        NoRepositoryError: the folder is in no repository.
        DataError: git cannot answer; repeats its reason.
    """
    done = git(root, *arguments)
    if done.returncode == 0:
        return done.stdout.strip()
    if not done.stderr.strip():
        return None
    kind = NoRepositoryError if "not a git repository" in done.stderr else DataError
    msg = f"git {arguments[0]} failed in {root} ({reason_of(done)}); mend that and run it again"
    raise kind(msg)


def reason_of(done: subprocess.CompletedProcess[str]) -> str:
    """Give git's own reason in one line; for a repository of another user it names the command that trusts it."""
    return " ".join(done.stderr.split())[:400] or f"exit code {done.returncode}"


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {"LC_ALL": "C"}
