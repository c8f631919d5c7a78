"""Fetch and unpack Debian packages without root, with Debian's own clients, and check them against a pinned digest."""

import atexit
import functools
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.errors import DataError

PATIENCE = 300
"""Timeout in seconds."""


@dataclass(frozen=True)
class Pin:
    """What a package must be."""

    package: str
    version: str
    sha256: str
    """SHA-256 over the `sha256sum` lines of the files that are used, sorted by path."""
    module: str
    """The file of this repository that has the pin, for the error message."""


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


def check_files(pin: Pin, root: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Check the used files of an unpacked package; returns path below `root` -> SHA-256.

    Raises:
        DataError: a file cannot be read, or the files differ from the pin.
    """
    try:
        digests = {path.relative_to(root).as_posix(): file_digest(path) for path in paths}
    except OSError as error:
        msg = (
            f"source {pin.package} cannot be read ({error}); install it again with "
            f"`apt-get install --reinstall {pin.package}`"
        )
        raise DataError(msg) from error
    if digest_of(digests) != pin.sha256:
        msg = (
            f"source {pin.package} is not the pinned {pin.version} (the SHA-256 of its files differs); install that "
            f"version, or pin the new one in {pin.module}"
        )
        raise DataError(msg)
    return digests


def digest_of(digests: Mapping[str, str]) -> str:
    """Return the SHA-256 over the lines that `sha256sum` writes for some files, sorted by path."""
    return hashlib.sha256("".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()).hexdigest()


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
