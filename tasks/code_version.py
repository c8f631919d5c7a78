"""Which code is running, as git says it, and what another commit's was."""

import shutil
import subprocess
import tarfile
from pathlib import Path

from tasks.errors import StillhouseError

CODE = ("dags", "models", "tasks")


def code_version(root: Path) -> str:
    """Give the commit, with `-dirty` when files differ from it, or `unversioned` outside a repository."""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - fixed command
    return done.stdout.strip() if done.returncode == 0 else "unversioned"


def unpack_code(root: Path, commit: str, folder: Path) -> Path:
    """Put a commit's code into a folder.

    Raises:
        StillhouseError: the repository has no such commit.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = ["git", "-C", str(root), "archive", "--format=tar", f"{commit}^{{commit}}", *CODE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as git:  # noqa: S603 - as above
        assert git.stdout is not None  # noqa: S101 - asked for
        try:
            with tarfile.open(fileobj=git.stdout, mode="r|") as archive:
                archive.extractall(folder, filter="data")
        except tarfile.TarError as error:
            msg = f"code {commit} is no commit of {root}; fetch it, or work where it is"
            raise StillhouseError(msg) from error
    return folder
