"""The columns of a dataset's files: images, lines of text, texts, clips, arrays with a target, or recordings.

Recordings have either a gallery or a transcript each.

Arrays serve a user's own modality: each example is an array of fixed shape and type with a number as target.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa

SHARD_ROWS = 16_384
"""Maximum rows of a shard. With large images, SHARD_BYTES is reached first."""
SHARD_BYTES = 48 * 1024 * 1024
"""Maximum bytes of pixels or texts in a shard, before compression."""
RECORDING_ROWS = 1_536
"""Recordings in one shard. One recording has about 24 kB."""
SHARD_SCHEMA = pa.schema([("id", pa.string()), ("image", pa.binary()), ("label", pa.int64())])
RECORDING_SCHEMA = pa.schema(
    [("id", pa.string()), ("audio", pa.binary()), ("label", pa.int64()), ("language", pa.string())]
)
UTTERANCE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("audio", pa.binary()),
        ("text", pa.string()),
        ("label", pa.int64()),
        ("language", pa.string()),
        ("voice", pa.string()),
    ]
)
"""The label is the group of a recording: recordings of one group are not independent."""
UNSEEN_VOICE = "unseen_voice"
"""The file of utterances whose voice is in no split."""
TEXT_SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string()), ("label", pa.int64())])
"""The label is -1 if the texts have no labels."""
LINE_SCHEMA = pa.schema([("id", pa.string()), ("image", pa.binary()), ("text", pa.string()), ("label", pa.int64())])
"""A picture of a line and its text. The label is -1."""
CLIP_SCHEMA = pa.schema([("id", pa.string()), ("audio", pa.binary()), ("label", pa.int64())])
"""The audio is 16-bit samples, lowest byte first."""
ARRAY_SCHEMA = pa.schema([("id", pa.string()), ("array", pa.binary()), ("target", pa.float64())])
MANIFEST_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
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
        ("tags", pa.list_(pa.field("element", pa.string()))),  # Parquet's own name: the schema survives reading
    ]
)


PROMPT_SCHEMA = pa.schema([("text", pa.string()), ("label", pa.int64()), ("split", pa.string())])


def prompt_schema(described: Mapping[str, Any]) -> pa.Schema:
    """Return the columns of prompts. If the data have styles, each prompt names one."""
    return PROMPT_SCHEMA.append(pa.field("style", pa.string())) if "styles" in described else PROMPT_SCHEMA


@dataclass(frozen=True)
class Layout:
    """The columns of one dataset's files."""

    shard: pa.Schema
    """The second column is the content."""
    shard_rows: int
    manifest: pa.Schema
    beside: Mapping[str, pa.Schema]
    """Schemas of the files that belong to no split: captions, prompts, a gallery, or an unseen voice."""


def is_transcribed(described: Mapping[str, Any]) -> bool:
    """Tell whether the splits hold utterances: recordings, each with its transcript."""
    return "transcripts" in described


def is_spoken(described: Mapping[str, Any]) -> bool:
    """Tell whether the splits hold recordings with a gallery, which are decoded when they are loaded."""
    return "sample_rates" in described and not is_transcribed(described)


def is_array(described: Mapping[str, Any]) -> bool:
    """Tell whether the splits hold arrays with a target, and not labelled images."""
    return "array_shape" in described


def is_text(described: Mapping[str, Any]) -> bool:
    """Tell whether the splits hold texts, with a label or without, and not images."""
    return "texts" in described


def is_line(described: Mapping[str, Any]) -> bool:
    """Tell whether the splits hold pictures of lines, each with its text."""
    return "lines" in described


def is_clip(described: Mapping[str, Any]) -> bool:
    """Tell whether the splits hold clips: recordings with a class, all of one length."""
    return "clips" in described


def layout_of(described: Mapping[str, Any]) -> Layout:
    """Choose the columns that fit a dataset's description."""
    manifest = MANIFEST_SCHEMA.insert(5, pa.field("language", pa.string()))
    if is_transcribed(described):
        return Layout(UTTERANCE_SCHEMA, RECORDING_ROWS, manifest, {UNSEEN_VOICE: UTTERANCE_SCHEMA})
    if is_spoken(described):
        captions = CAPTION_SCHEMA.append(pa.field("split", pa.string()))
        return Layout(RECORDING_SCHEMA, RECORDING_ROWS, manifest, {"captions": captions, "gallery": SHARD_SCHEMA})
    if is_text(described):
        return Layout(TEXT_SCHEMA, SHARD_ROWS, MANIFEST_SCHEMA, {})
    return _of_one_shape(described, max(1, min(SHARD_ROWS, SHARD_BYTES // content_bytes(described))))


def _of_one_shape(described: Mapping[str, Any], rows: int) -> Layout:
    if is_array(described):
        return Layout(ARRAY_SCHEMA, rows, MANIFEST_SCHEMA.remove(MANIFEST_SCHEMA.get_field_index("label")), {})
    if is_clip(described):
        return Layout(CLIP_SCHEMA, rows, MANIFEST_SCHEMA, {})
    if is_line(described):
        return Layout(LINE_SCHEMA, rows, MANIFEST_SCHEMA, {})
    return Layout(
        SHARD_SCHEMA, rows, MANIFEST_SCHEMA, {"captions": CAPTION_SCHEMA, "prompts": prompt_schema(described)}
    )


def content_bytes(described: Mapping[str, Any]) -> int:
    """Return the number of bytes of one image, clip or array. Of texts, return their mean."""
    if is_text(described):
        return int(described["texts"]["mean_bytes"])
    return int(prod(content_shape(described)) * np.dtype(described["dtype"]).itemsize)


def content_shape(described: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the shape of one image, clip or array."""
    if is_clip(described):
        return (int(described["clips"]["samples"]),)
    return tuple(described["array_shape" if is_array(described) else "image_shape"])
