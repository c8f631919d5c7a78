"""Which code is running, as git says it."""

import subprocess
from pathlib import Path


def code_version(root: Path) -> str:
    """Give the commit, with `-dirty` when files differ from it, or `unversioned` outside a repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - fixed command
    return done.stdout.strip() if done.returncode == 0 else "unversioned"
