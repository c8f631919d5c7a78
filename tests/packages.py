"""Interpreters with other packages than this one has: a further one of a user, or only those of a lock."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def python_with(package: Path, folder: Path) -> Path:
    """Make an interpreter that has what this one has, and a package.

    Args:
        package: folder of the package's project. It is copied before it is installed.
        folder: an existing folder for the environment.
    """
    python, packages = _make(folder)
    ours = sysconfig.get_path("purelib")
    (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n", encoding="utf-8")
    shutil.copytree(package, folder / "package", ignore=shutil.ignore_patterns("__pycache__", "recipes"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(folder / "package")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": ours})
    return python


def python_of(lock: Path, folder: Path) -> Path:
    """Make an interpreter that has the packages of a lock, as they are installed here, and no others.

    Args:
        lock: a file of pinned packages.
        folder: an existing folder for the environment.
    """
    python, packages = _make(folder)
    for name in re.findall(r"^(\S+?)==", lock.read_text(encoding="utf-8"), re.MULTILINE):
        for top in {file.parts[0] for file in importlib.metadata.files(name) or []} - {"..", "__pycache__"}:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(sysconfig.get_path("purelib"), top))
    return python


def _make(folder: Path) -> tuple[Path, Path]:
    """Make an interpreter without packages; returns it, and the folder of its packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    packages = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return python, Path(packages)
