"""Ask git: one call, whose answer is looked at by whoever asks."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tasks.errors import DataError

SECONDS = 60


def git(
    root: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run git in a repository; a call that fails is an answer, too.

    Raises:
        DataError: git is not installed.
    """
    try:
        return subprocess.run(  # noqa: S603 - a revision cannot start with a dash (tasks.recipe.DATA_REVISION)
            ["git", "-C", str(root), *arguments],  # noqa: S607
            input=stdin,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        msg = (
            "git is not installed, so a data version can be neither looked up nor made; install git, or leave "
            "data.revision out of the recipe"
        )
        raise DataError(msg) from error
