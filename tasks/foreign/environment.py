"""The environment of a foreign tool: a virtual environment apart, made on first use from a hash-locked file.

The environment is whole once its stamp is written, last. A process that is killed half-way leaves no stamp, and the
next one makes the environment again. Two processes never make it at once.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stillhouse.models.aside import write_aside
from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.settings import Settings

TENSORFLOW, OPENVINO, EXECUTORCH, TIMM = (
    Path(__file__).resolve().parent / f"{tool}.lock" for tool in ("tensorflow", "openvino", "executorch", "timm")
)
STAMP = "whole"
GIGABYTES = {"tensorflow": 2.5, "openvino": 0.7, "executorch": 2.0, "timm": 0.1}
"""Disk space that an environment takes, with what pip needs while it installs."""
INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes")
OF_ANOTHER_PYTHON = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONSAFEPATH",
    "VIRTUAL_ENV",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
)
"""Variables that lead pip, or the new environment, to packages of another Python."""


def environment_folder(settings: Settings, lock: Path = TENSORFLOW) -> Path:
    """Name the folder of the environment. Another lock has another folder."""
    return settings.state / "environments" / f"{lock.stem}-{file_digest(lock)[:16]}"


def is_whole(folder: Path) -> bool:
    """Tell whether the environment was made to its end and its Python, if it has one, is still there."""
    has_python = (folder / "bin" / "python").exists() or not (folder / "pyvenv.cfg").exists()
    return (folder / STAMP).is_file() and has_python


def ensure_environment(settings: Settings, progress: Callable[[str], None], lock: Path = TENSORFLOW) -> Path:
    """Make the environment unless it is there.

    Args:
        settings: the deployment whose state folder holds the environment.
        progress: is told one line when the environment must be made.
        lock: the hash-locked requirements.

    Returns:
        The environment's Python.

    Raises:
        StillhouseError: there is no space, or pip failed. The message repeats pip's reason.
    """
    folder = environment_folder(settings, lock)
    _ensure(folder, lock, progress, _environment_commands(folder, lock))
    return folder / "bin" / "python"


def ensure_packages(settings: Settings, progress: Callable[[str], None], lock: Path) -> Path:
    """Install packages that run with our own Python and packages, unless they are there. Returns their folder.

    Raises:
        StillhouseError: as `ensure_environment` does.
    """
    folder = environment_folder(settings, lock)
    install = [sys.executable, *INSTALL, "--target", str(folder), "-r", str(lock)]
    _ensure(folder, lock, progress, [install])
    return folder


def _environment_commands(folder: Path, lock: Path) -> list[list[str]]:
    python = str(folder / "bin" / "python")
    return [
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [python, *INSTALL, "-r", str(lock)],
        [python, "-m", "pip", "check"],
    ]


def clean_variables() -> dict[str, str]:
    """Return this process's variables without those that lead to another Python."""
    return {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_PYTHON}


def _ensure(folder: Path, lock: Path, progress: Callable[[str], None], commands: list[list[str]]) -> None:
    """Run the commands unless the folder is whole. Two processes never do it at once.

    If this process is killed, pip goes on for a while and still holds the lock.
    """
    with waiting(folder.with_suffix(".lock")) as held:
        if is_whole(folder):
            return
        progress(f"making the environment of {lock.stem} in {folder}; this happens once and takes some minutes")
        _expect_space(folder.parent, GIGABYTES.get(lock.stem, 0))
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for command in commands:
                _run(command, folder, held)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with write_aside(folder / STAMP) as aside:
            aside.write_text(f"{file_digest(lock)}\n", encoding="ascii")


def _expect_space(folder: Path, gigabytes: float) -> None:
    free = shutil.disk_usage(folder).free
    if free < gigabytes * 1e9:
        msg = f"{folder} has {free / 1e9:.1f} GB of free space and the environment needs {gigabytes} GB; free some"
        raise StillhouseError(msg)


def _run(command: list[str], folder: Path, held: int) -> None:
    how: dict[str, Any] = {"capture_output": True, "text": True, "env": clean_variables(), "pass_fds": (held,)}
    done = subprocess.run(command, check=False, **how)  # noqa: S603 - ours
    if done.returncode:
        msg = (
            f"the environment {folder} could not be made ({_reason(done.stderr + done.stdout)}); mend the network, "
            "pip's index or the disk and run the command again"
        )
        raise StillhouseError(msg)


def _reason(output: str) -> str:
    """Return pip's first line that names an error, otherwise its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith("WARNING")]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines[-1:] or ["no reason given"])[0].removeprefix("ERROR: ")[:300]
