"""A stage's output folder. It is complete only when its manifest exists; the manifest is written last.

The manifest lists every file with its SHA-256. The artifact's digest is the digest of that list, so two runs that make
the same bytes have the same digest, whenever and wherever they run.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillhouse.models.aside import write_aside
from stillhouse.tasks.errors import ArtifactError

MANIFEST = "manifest.json"
VOLATILE = "data_docs"
"""A folder of pages for people, with times in them. It is verified, but the artifact's digest does not include it."""


@dataclass(frozen=True)
class Artifact:
    """A complete, verified stage output."""

    path: Path
    digest: str
    metrics: dict[str, float]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def json_digest(value: Any) -> str:  # noqa: ANN401 - any JSON value has a digest
    """SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_json(path: Path, value: Any) -> None:  # noqa: ANN401 - any JSON value can be written
    """Write JSON to a temporary file, flush it to disk, then rename it.

    Readers see either the old file or the new one.
    """
    with write_aside(path) as aside, aside.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, indent=1, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())


def seal(folder: Path, metrics: dict[str, float], **origin: Any) -> Artifact:  # noqa: ANN401 - JSON values
    """Write the manifest, which makes the folder an artifact."""
    files = _digests(folder)
    write_json(folder / MANIFEST, {"files": files, "metrics": metrics, "origin": origin})
    return Artifact(folder, identity_of(files), metrics)


def verify(folder: Path) -> Artifact:
    """Open an artifact and check every byte of it.

    Raises:
        ArtifactError: the manifest is missing or unreadable, or the files differ from it.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files, metrics = dict(manifest["files"]), dict(manifest["metrics"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{folder} has no readable {MANIFEST}, so its stage did not finish; run the stage again"
        raise ArtifactError(msg) from error
    differing = sorted(files.items() ^ _digests(folder).items())
    if differing:
        msg = f"{folder} differs from its manifest at {differing[0][0]}; delete the folder and run the stage again"
        raise ArtifactError(msg)
    return Artifact(folder, identity_of(files), metrics)


def verify_around(folder: Path) -> Artifact:
    """Open the artifact at `folder`, or the artifact whose component folder it is, and check every byte.

    Raises:
        ArtifactError: as `verify` does.
    """
    return verify(folder if (folder / MANIFEST).exists() else folder.parent)


def identity_of(files: dict[str, str]) -> str:
    """Return the digest of an artifact whose manifest lists these files."""
    return json_digest({name: digest for name, digest in files.items() if not name.startswith(f"{VOLATILE}/")})


def _digests(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}
