"""What validation looks at: a dataset's shards, manifest, decoded content, roles and captions, as plain tables.

It reads whatever is there and never judges: a shard that cannot be read is a row that says so.
"""

import hashlib
import re
from collections.abc import Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data.dataset import role_digest
from tasks.data.layout import CAPTION_SCHEMA

Described = Mapping[str, Any]
CONTROL = r"[\x00-\x1f\x7f-\x9f]"
"""A control character, which no caption has."""


def tables_of(folder: Path, described: Described) -> dict[str, pd.DataFrame]:
    """Read the tables of one dataset: four, and with captions a fifth.

    Returns:
        `shards`: path, schema, rows, expected_rows.
        `manifest`: the manifest as it is.
        `content`: a row per stored image: label, image_bytes, minimum, maximum, nan_values, sha256, and beside them
        what the manifest says (manifest_id, manifest_label, manifest_sha256), missing where either has no such row.
        `roles`: role, rows, expected_rows, digest, expected_digest, missing_labels.
        `captions`: a row for every label in every language, and for what the file has besides: label, language, name,
        tags (how many) and bad_tags (blank ones, and with control characters), missing where the file has no such row;
        without columns when the file is no table of captions.
    """
    manifest, _ = _read(folder / described["manifest"]["path"])
    listed = manifest.to_pandas()
    shards, contents = [], []
    for shard in (shard for role in described["roles"].values() for shard in role["shards"]):
        table, schema = _read(folder / shard["path"])
        shards.append({"path": shard["path"], "schema": schema, "rows": len(table), "expected_rows": shard["rows"]})
        if {"id", "image", "label"} <= set(table.column_names) and pa.types.is_binary(table.schema.field("image").type):
            contents.append(_decoded(table, shard["path"], described))
    content = pd.concat(contents) if contents else pd.DataFrame(columns=["shard", "row"])
    tables = {
        "shards": pd.DataFrame(shards),
        "manifest": listed,
        "content": _beside_manifest(content, listed),
        "roles": _roles(listed, described),
    }
    return tables | ({"captions": _captions(folder, described)} if "captions" in described else {})


def schema_text(schema: pa.Schema) -> str:
    """Write a schema in one line: `id: string, image: binary, label: int64`."""
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def _read(path: Path) -> tuple[pa.Table, str]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        return pa.table({}), f"unreadable: {type(error).__name__}"
    return table, schema_text(table.schema)


def _decoded(table: pa.Table, shard: str, described: Described) -> pd.DataFrame:
    images = table["image"].combine_chunks()
    lengths = pc.binary_length(images).to_numpy(zero_copy_only=False).astype(float)
    kind = np.dtype(described["dtype"])
    fitting = lengths == prod(described["image_shape"]) * kind.itemsize
    statistics = _pixel_statistics(images.filter(pa.array(fitting)).to_pylist(), kind, prod(described["image_shape"]))
    decoded = {name: np.full(len(table), np.nan) for name in statistics}
    for name, values in statistics.items():
        decoded[name][fitting] = values
    return pd.DataFrame(
        {
            "shard": shard,
            "row": np.arange(len(table)),
            "id": table["id"].to_pandas(),
            "label": table["label"].to_pandas(),
            "image_bytes": lengths,
            **decoded,
            "sha256": [hashlib.sha256(image or b"").hexdigest() for image in images.to_pylist()],
        }
    )


def _pixel_statistics(images: list[bytes], kind: np.dtype[Any], pixels: int) -> dict[str, NDArray[Any]]:
    pixels_NP = np.frombuffer(b"".join(images), kind).reshape(-1, pixels)
    return {
        "minimum": pixels_NP.min(axis=1),
        "maximum": pixels_NP.max(axis=1),
        "nan_values": np.isnan(pixels_NP).sum(axis=1) if kind.kind == "f" else np.zeros(len(pixels_NP)),
    }


def _beside_manifest(content: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    if not {"shard", "row"} <= set(manifest.columns):
        return content
    said = manifest.rename(columns={name: f"manifest_{name}" for name in ("id", "label", "sha256")})
    return content.merge(said, on=["shard", "row"], how="outer")


def _roles(manifest: pd.DataFrame, described: Described) -> pd.DataFrame:
    if not {"role", "sha256", "label"} <= set(manifest.columns):
        return pd.DataFrame(columns=["role"])
    rows = []
    for role, expected in described["roles"].items():
        chosen = manifest[manifest["role"] == role]
        rows.append(
            {
                "role": role,
                "rows": len(chosen),
                "expected_rows": expected["count"],
                "digest": role_digest([str(digest) for digest in chosen["sha256"]]),
                "expected_digest": expected["digest"],
                "missing_labels": len(set(range(len(described["labels"]))) - set(chosen["label"])),
            }
        )
    return pd.DataFrame(rows)


def _captions(folder: Path, described: Described) -> pd.DataFrame:
    table, schema = _read(folder / described["captions"]["path"])
    if schema != schema_text(CAPTION_SCHEMA):
        return pd.DataFrame()
    wanted = product(range(len(described["labels"])), described["languages"])
    listed = table.drop_columns(["tags"]).to_pandas()
    tags = table["tags"].to_pylist()
    listed["tags"] = [len(each or ()) for each in tags]
    listed["bad_tags"] = [sum(_is_bad(tag) for tag in each or ()) for each in tags]
    return pd.DataFrame(wanted, columns=["label", "language"]).merge(listed, on=["label", "language"], how="outer")


def _is_bad(tag: str | None) -> bool:
    return not (tag or "").strip() or bool(re.search(CONTROL, tag or ""))
