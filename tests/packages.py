"""An interpreter with a further package, installed by pip as a user does."""

import os
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
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    packages = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    ours = sysconfig.get_path("purelib")
    Path(packages, "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n", encoding="utf-8")
    shutil.copytree(package, folder / "package", ignore=shutil.ignore_patterns("__pycache__", "recipes"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(folder / "package")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": ours})
    return python
