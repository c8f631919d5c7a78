"""Decode the files of a listing, a chunk at a time, into Parquet files that a killed import finds again."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillhouse.models.aside import write_aside
from stillhouse.models.data.pictures import pixels_of
from stillhouse.models.errors import ModelError
from stillhouse.tasks.data.importing.scan import Listing

CHUNK = 256
"""Files in one chunk."""
LARGEST = 64 * 1024 * 1024
"""Maximum bytes of a picture file."""
TEXT = pa.string()
SCHEMA = pa.schema({"path": TEXT, "label": pa.int64(), "image": pa.binary(), "sha256": TEXT, "reason": TEXT})
Shape = tuple[int, int, int]


def spool(listing: Listing, shape: Shape, folder: Path, progress: Callable[[str], None]) -> Iterator[Path]:
    """Decode every file to raw pixels of one shape. Yields the chunks in the order of the listing.

    A chunk whose files have not changed is not decoded again.

    Args:
        listing: the files.
        shape: channels, height and width.
        folder: an existing folder for the chunks.
        progress: shows one line.
    """
    for start in range(0, len(listing.files), CHUNK):
        files = listing.files[start : start + CHUNK]
        chunk = folder / f"{_key(listing.root, files, shape)}.parquet"
        if not chunk.is_file():
            progress(f"reading {start + len(files):,} of {len(listing.files):,} files")
            rows = [_row(listing.root, path, label, shape) for path, label in files]
            with write_aside(chunk) as aside:
                pq.write_table(pa.Table.from_pylist(rows, SCHEMA), aside, compression="zstd")
        yield chunk


def _key(root: Path, files: tuple[tuple[str, int], ...], shape: Shape) -> str:
    """Return a digest that changes if a file, its class or the shape changes."""
    facts = [f"{shape}"]
    for path, label in files:
        status = (root / path).stat()
        facts.append(f"{path}\0{label}\0{status.st_size}\0{status.st_mtime_ns}")
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _row(root: Path, path: str, label: int, shape: Shape) -> dict[str, Any]:
    """Return a row with pixels and their digest, or with the reason why there are none."""
    row = {"path": path, "label": label}
    try:
        size = (root / path).stat().st_size
        if size > LARGEST:
            return row | {"reason": f"the file has {size:,} bytes; give a picture of at most {LARGEST:,}"}
        pixels = pixels_of((root / path).read_bytes(), shape).tobytes()
    except ModelError as error:
        return row | {"reason": str(error)}
    except OSError as error:
        return row | {"reason": f"the file cannot be read ({error.strerror})"}
    return row | {"image": pixels, "sha256": hashlib.sha256(pixels).hexdigest()}
