"""Fetch and unpack Debian packages without root, with Debian's own clients. The callers check digests."""

import atexit
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from stillhouse.tasks.errors import DataError

PATIENCE = 300
"""Timeout in seconds."""


@functools.cache
def unpack_package(package: str) -> Path:
    """Fetch a package once per process; returns the folder that stands for `/`.

    The folder is removed when the process ends.

    Raises:
        DataError: the package cannot be downloaded or unpacked.
    """
    scratch = Path(tempfile.mkdtemp(prefix=f"stillhouse-{package}-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return download(package, scratch)


def download(package: str, scratch: Path) -> Path:
    """Fetch and unpack a package into an empty folder; returns the folder that stands for `/`.

    Raises:
        DataError: the package cannot be downloaded or unpacked.
    """
    fault = _fetch(package, scratch)
    if fault:
        msg = (
            f"source {package} cannot be downloaded ({fault}); check the network and apt's sources, "
            f"or have it installed with `apt-get install {package}`"
        )
        raise DataError(msg)
    archive = next(scratch.glob(f"{package}_*.deb"))
    fault = _run(["dpkg-deb", "-x", archive.name, "unpacked"], scratch)
    if fault:
        msg = f"source {package} cannot be unpacked ({fault}); free some disk space and run again"
        raise DataError(msg)
    archive.unlink()
    return scratch / "unpacked"


def _fetch(package: str, scratch: Path) -> str:
    """Download the archive; returns the error of apt-get, empty on success."""
    # The system's package lists may be missing, and only root may update them. So the second try uses its own lists.
    own = ["-o", f"Dir::State::lists={scratch}/lists", "-o", f"Dir::Cache={scratch}/cache"]
    for folder in ("lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True)
    if not _run(["apt-get", "-qq", "download", package], scratch):
        return ""
    _run(["apt-get", "-qq", *own, "update"], scratch)
    return _run(["apt-get", "-qq", *own, "download", package], scratch)


def _run(command: list[str], folder: Path) -> str:
    """Run a command; returns the last line of its error output, empty on success."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    except subprocess.TimeoutExpired:
        return f"{command[0]} gave up after {PATIENCE} s"
    lines = done.stderr.strip().splitlines() or [f"{command[0]} ended with {done.returncode}"]
    return lines[-1] if done.returncode else ""
