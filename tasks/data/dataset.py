"""The format of one dataset folder: Parquet shards, a manifest, perhaps captions, and dataset.json, which pins them.

It writes the format and checks a folder against its digests; whether the content makes sense is for
`tasks.validate_data`.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifact import file_digest, write_json
from tasks.errors import DataError

DESCRIPTION = "dataset.json"
MANIFEST = "manifest.parquet"
CAPTIONS = "captions.parquet"
LICENCE = "LICENSE.txt"
ROLES = ("train", "calibration", "search", "gate", "sealed")
SHARD_ROWS = 16_384
"""At most; large images fill SHARD_BYTES sooner."""
SHARD_BYTES = 48 * 1024 * 1024
"""Of pixels, before compression."""
SHARD_SCHEMA = pa.schema([("id", pa.string()), ("image", pa.binary()), ("label", pa.int64())])
MANIFEST_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("role", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int64()),
        ("label", pa.int64()),
        ("sha256", pa.string()),
    ]
)
CAPTION_SCHEMA = pa.schema(
    [
        ("label", pa.int64()),
        ("language", pa.string()),
        ("name", pa.string()),
        ("tags", pa.list_(pa.field("element", pa.string()))),  # Parquet's own name, so that it reads as it was written
    ]
)


@dataclass(frozen=True)
class Example:
    """One labelled image."""

    id: str
    """Original split and index, such as `train/000123`."""
    image: bytes
    """The original pixels, row-major."""
    label: int

    @property
    def sha256(self) -> str:
        """Digest of the pixels alone, so that equal images are found under any id or label."""
        return hashlib.sha256(self.image).hexdigest()


@dataclass(frozen=True)
class Caption:
    """What one language calls a label."""

    label: int
    language: str
    name: str
    tags: list[str]
    """Other words for it."""


def write_dataset(
    folder: Path,
    about: Mapping[str, Any],
    licence_text: bytes,
    roles: Mapping[str, Sequence[Example]],
    captions: Sequence[Caption] = (),
) -> None:
    """Fill an empty folder with one dataset, dataset.json last.

    Args:
        folder: where; it exists.
        about: what dataset.json says besides the files: name, licence, sources, image_shape, dtype, value_range,
            labels, and with captions their languages.
        licence_text: the publisher's licence, byte for byte.
        roles: the examples of each role in the order in which they are stored.
        captions: the labels in words; without any there is no such file.
    """
    manifest: list[dict[str, Any]] = []
    size = prod(about["image_shape"]) * np.dtype(about["dtype"]).itemsize
    shard_rows = min(SHARD_ROWS, SHARD_BYTES // size)
    described = {role: _write_role(folder, role, examples, manifest, shard_rows) for role, examples in roles.items()}
    _write_table(folder / MANIFEST, manifest, MANIFEST_SCHEMA)
    (folder / LICENCE).write_bytes(licence_text)
    pinned = {
        "roles": described,
        "manifest": {"path": MANIFEST, "sha256": file_digest(folder / MANIFEST)},
        "licence_file": {"path": LICENCE, "sha256": file_digest(folder / LICENCE)},
    }
    if captions:
        pinned["captions"] = _write_captions(folder, captions)
    write_json(folder / DESCRIPTION, {**about, **pinned})


def role_digest(digests: Sequence[str]) -> str:
    """SHA-256 over the sorted digests of a role's images: the same for any order and any sharding."""
    return hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()


def read_description(folder: Path) -> dict[str, Any]:
    """Read dataset.json.

    Raises:
        DataError: it is missing or is not a description of a dataset.
    """
    try:
        described: dict[str, Any] = json.loads((folder / DESCRIPTION).read_bytes())
        list(_pinned_files(described))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{folder / DESCRIPTION} is missing or does not describe a dataset; build it again with `stillhouse data`"
        raise DataError(msg) from error
    return described


def fault_of(folder: Path, digest: str) -> str:
    """Check every byte of a dataset folder; returns the first file that is wrong and how, empty when none is."""
    if _sha256(folder / DESCRIPTION) != digest:
        return f"{DESCRIPTION} is missing or altered"
    for name, expected in _pinned_files(read_description(folder)):
        if _sha256(folder / name) != expected:
            return f"{name} is missing, truncated or altered"
    return ""


def _pinned_files(described: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    pinned = [shard for role in described["roles"].values() for shard in role["shards"]]
    captions = [described["captions"]] if "captions" in described else []
    for file in (described["manifest"], described["licence_file"], *captions, *pinned):
        yield file["path"], file["sha256"]


def _sha256(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        return "unreadable"


def _write_role(
    folder: Path, role: str, examples: Sequence[Example], manifest: list[dict[str, Any]], shard_rows: int
) -> dict[str, Any]:
    digests = [example.sha256 for example in examples]
    shards = []
    for number, start in enumerate(range(0, len(examples), shard_rows)):
        name = f"{role}-{number:03d}.parquet"
        rows = examples[start : start + shard_rows]
        _write_table(folder / name, [{"id": e.id, "image": e.image, "label": e.label} for e in rows], SHARD_SCHEMA)
        shards.append({"path": name, "rows": len(rows), "sha256": file_digest(folder / name)})
        manifest += [
            {"id": e.id, "role": role, "shard": name, "row": row, "label": e.label, "sha256": digests[start + row]}
            for row, e in enumerate(rows)
        ]
    return {"count": len(examples), "digest": role_digest(digests), "shards": shards}


def _write_captions(folder: Path, captions: Sequence[Caption]) -> dict[str, Any]:
    _write_table(folder / CAPTIONS, [asdict(caption) for caption in captions], CAPTION_SCHEMA)
    return {"path": CAPTIONS, "rows": len(captions), "sha256": file_digest(folder / CAPTIONS)}


def _write_table(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    # Every choice that changes bytes is spelled out: the digest must not follow a default of a later pyarrow.
    pq.write_table(
        pa.Table.from_pylist(rows, schema),
        path,
        compression="zstd",
        compression_level=3,
        use_dictionary=False,
        write_statistics=False,
        data_page_version="1.0",
        version="2.6",
    )
