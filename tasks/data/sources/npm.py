"""Fetch npm packages as pinned tarballs, with npm's own client and cache.

Nothing is installed or unpacked onto a disk, and no script of a package runs. Files are read from the tarball.
"""

import hashlib
import io
import json
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.tasks.errors import DataError

PATIENCE = 300
"""Timeout in seconds."""


@dataclass(frozen=True)
class Package:
    """One version of one package."""

    spec: str
    """Name and version in npm's notation, such as `@iconify-json/noto@1.2.9`."""
    sha256: str
    """Digest of the tarball."""

    @property
    def file(self) -> str:
        """File name that `npm pack` gives the tarball."""
        return self.spec.removeprefix("@").replace("/", "-").replace("@", "-") + ".tgz"


def download(packages: Sequence[Package]) -> list[bytes]:
    """Fetch the tarballs of some packages.

    Raises:
        DataError: npm is missing or fails, or a tarball differs from the pinned digest.
    """
    with tempfile.TemporaryDirectory(prefix="stillhouse-npm-") as scratch:
        fault = _pack([package.spec for package in packages], Path(scratch))
        if fault:
            msg = (
                f"source {', '.join(package.spec for package in packages)} cannot be downloaded ({fault}); install "
                "npm, or check the network and npm's registry with `npm ping`"
            )
            raise DataError(msg)
        return [_check(Path(scratch, package.file), package) for package in packages]


def read_files(tarball: bytes, names: Collection[str]) -> dict[str, bytes]:
    """Read some files of a package in one pass. Names are paths inside the package.

    Raises:
        KeyError: the package does not have a file.
    """
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        members = ((member.name.removeprefix("package/"), member) for member in archive if member.isfile())
        found = {name: _content(archive, member) for name, member in members if name in names}
    return {name: found[name] for name in names}


def read_json(tarball: bytes, name: str) -> dict[str, Any]:
    """Read a JSON file of a package.

    Raises:
        KeyError: the package does not have the file.
    """
    content: dict[str, Any] = json.loads(read_files(tarball, [name])[name])
    return content


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = archive.extractfile(member)
    return stream.read() if stream else b""


def _check(path: Path, package: Package) -> bytes:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != package.sha256:
        msg = (
            f"source {package.spec}: {package.file} is not the pinned file (its SHA-256 differs); look which registry "
            "`npm config get registry` names, or pin the new one where the package is named in tasks/data"
        )
        raise DataError(msg)
    return content


def _pack(specs: Sequence[str], folder: Path) -> str:
    """Download tarballs into a folder; returns the error of npm, empty on success."""
    command = ["npm", "pack", "--json", "--silent", "--prefer-offline", "--ignore-scripts", *specs]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)  # noqa: S603
    except FileNotFoundError:
        return "npm is not installed"
    except subprocess.TimeoutExpired:
        return f"npm gave up after {PATIENCE} s"
    return _complaint(done) if done.returncode else ""


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    try:
        return str(json.loads(done.stdout or done.stderr)["error"]["summary"]).splitlines()[0]
    except (ValueError, KeyError, TypeError, IndexError):
        return f"npm ended with {done.returncode}"
