"""Decode the stored examples of a dataset: images, texts, arrays and recordings.

If an example cannot be decoded, its values are missing.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from stillhouse.models.data.description import with_split_names
from stillhouse.models.data.texts import CONTROL, normalise
from stillhouse.models.errors import ModelError

Described = Mapping[str, Any]
LISTENED = 60.0
"""Maximum number of seconds that are decoded of one recording. This is far above the allowed length."""


def read_table(path: Path) -> tuple[pa.Table, str]:
    """Read a Parquet file; returns the table and its schema in one line.

    If the file cannot be read, returns an empty table and the reason.
    """
    try:
        table = with_split_names(pq.read_table(path))
    except (OSError, pa.ArrowException) as error:
        return pa.table({}), f"unreadable: {type(error).__name__}"
    return table, schema_text(table.schema)


def schema_text(schema: pa.Schema) -> str:
    """Write a schema in one line, such as `id: string, image: binary, label: int64`."""
    return ", ".join(f"{field.name}: {field.type}" for field in schema)


def read_pixels(table: pa.Table, path: str, described: Described) -> pd.DataFrame:
    """Decode images into the columns image_bytes, minimum, maximum and nan_values.

    If an image has the wrong size, its last three values are missing.
    """
    images = table["image"].combine_chunks()
    return table_of(table, path, images).assign(**_numbers_in("image", images, described["image_shape"], described))


def read_lines(table: pa.Table, path: str, described: Described) -> pd.DataFrame:
    """Decode lines as `read_pixels` does, and count the characters of their texts and those not in the vocabulary."""
    letters = set(described["lines"]["letters"])
    texts = table["text"].to_pylist()
    return read_pixels(table, path, described).assign(
        characters=[None if text is None else len(text) for text in texts],
        unknown_characters=[sum(letter not in letters for letter in text or "") for text in texts],
    )


def read_clips(table: pa.Table, path: str, described: Described) -> pd.DataFrame:
    """Decode clips into the columns audio_bytes, minimum, maximum and nan_values.

    If a clip has the wrong size, its last three values are missing.
    """
    clips = table["audio"].combine_chunks()
    return table_of(table, path, clips).assign(
        **_numbers_in("audio", clips, [described["clips"]["samples"]], described)
    )


def read_arrays(table: pa.Table, path: str, described: Described) -> pd.DataFrame:
    """Decode arrays into the columns array_bytes, minimum, maximum and nan_values.

    If an array has the wrong size, its last three values are missing.
    """
    arrays = table["array"].combine_chunks()
    return table_of(table, path, arrays).assign(**_numbers_in("array", arrays, described["array_shape"], described))


def _numbers_in(name: str, stored: pa.Array, shape: Sequence[int], described: Described) -> dict[str, NDArray[Any]]:
    lengths = pc.binary_length(stored).to_numpy(zero_copy_only=False).astype(float)
    kind = np.dtype(described["dtype"])
    fitting = lengths == prod(shape) * kind.itemsize
    statistics = _pixel_statistics(stored.filter(pa.array(fitting)).to_pylist(), kind, prod(shape))
    decoded = {found: np.full(len(stored), np.nan) for found in statistics}
    for found, values in statistics.items():
        decoded[found][fitting] = values
    return {f"{name}_bytes": lengths, **decoded}


def read_recordings(table: pa.Table, path: str, _described: Described) -> pd.DataFrame:
    """Decode recordings into the columns language, seconds, peak and sample_rate.

    If a recording cannot be decoded, its last three values are missing.
    """
    audio = table["audio"].combine_chunks()
    heard = pd.DataFrame(
        [_listen(each or b"") for each in audio.to_pylist()], columns=["seconds", "peak", "sample_rate"]
    )
    return pd.concat([table_of(table, path, audio), table.select(["language"]).to_pandas(), heard], axis=1)


def read_texts(table: pa.Table, path: str, _described: Described) -> pd.DataFrame:
    """Decode texts into the columns characters, control_characters and normalised (1 or 0).

    If a text is not valid UTF-8, its values are missing.
    """
    texts = table["text"].combine_chunks().cast(pa.binary())
    columns = ["characters", "control_characters", "normalised"]
    read = pd.DataFrame([_look_at(each or b"") for each in texts.to_pylist()], columns=columns)
    return pd.concat([table_of(table, path, texts), read], axis=1)


def _look_at(content: bytes) -> tuple[float, float, float]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return math.nan, math.nan, math.nan
    return len(text), len(CONTROL.findall(text)), float(text == normalise(text))


def table_of(table: pa.Table, path: str, content: pa.Array) -> pd.DataFrame:
    """Return one row per stored example: shard, row, what the table says of it, and the digest of its content."""
    said = [name for name in ("id", "label", "target") if name in table.column_names]
    return pd.DataFrame(
        {
            "shard": path,
            "row": np.arange(len(table)),
            **{name: table[name].to_pandas() for name in said},
            "sha256": [hashlib.sha256(each or b"").hexdigest() for each in content.to_pylist()],
        }
    )


def _listen(content: bytes) -> tuple[float, float, float]:
    from stillhouse.models.data.sound.audio import decode

    try:
        samples_T, rate = decode(content, LISTENED)
    except ModelError:
        return np.nan, np.nan, np.nan
    return len(samples_T) / rate, float(np.abs(samples_T).max(initial=0)), float(rate)


def _pixel_statistics(images: list[bytes], kind: np.dtype[Any], pixels: int) -> dict[str, NDArray[Any]]:
    pixels_NP = np.frombuffer(b"".join(images), kind).reshape(-1, pixels)
    return {
        "minimum": pixels_NP.min(axis=1),
        "maximum": pixels_NP.max(axis=1),
        "nan_values": np.isnan(pixels_NP).sum(axis=1) if kind.kind == "f" else np.zeros(len(pixels_NP)),
    }
