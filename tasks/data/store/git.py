"""Run git. No other module starts it.

A negative result of git is a normal return value. If git cannot answer, the error repeats git's reason. Git works on
the repository of the given folder, even if the caller's shell has set another one.
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
"""Variables that point git at another repository than the folder's. Git hooks set them."""


class NoRepositoryError(DataError):
    """The folder is not in a git repository."""


def git(
    root: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in a folder. A failing exit code is returned, not raised.

    Raises:
        DataError: git is not installed, cannot be started, or does not answer within a minute.
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
    """Return git's output, or `None` if git exits with a negative result and no message.

    Raises:
        NoRepositoryError: the folder is in no repository.
        DataError: git cannot answer; the error repeats its reason.
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
    """Return git's reason in one line.

    If the repository belongs to another user, it names the command that trusts it.
    """
    return " ".join(done.stderr.split())[:400] or f"exit code {done.returncode}"


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ELSEWHERE} | {"LC_ALL": "C"}
