"""Additional validation tables for a dataset with recordings: the gallery, the split of each pair, counts per label."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from stillhouse.tasks.data.checks.decoding import Described, read_pixels, read_table
from stillhouse.tasks.data.format.layout import SHARD_SCHEMA

NO_SPLIT = "none"
"""Value of `caption_split` if the recording's pair has no caption."""


def spoken_tables(
    folder: Path, described: Described, recordings: pd.DataFrame, captions: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Complete the tables of a dataset with recordings.

    Returns:
        `recordings`: gains caption_split, the split of the caption with the same label and language.
        `captions`: gains other_splits, the number of other splits that contain the same sentence in any language.
        `gallery`: one row per picture, with label, image_bytes, minimum, maximum. If the file is not a table of images,
            there are no rows.
        `labels`: one row per label, with its number of pictures, captions, recordings, training_captions and
            training_recordings.
    """
    gallery = _gallery(folder, described)
    return {
        "recordings": _with_caption_split(recordings, captions),
        "captions": _with_other_splits(captions),
        "gallery": gallery,
        "labels": _labels(described, {"pictures": gallery, "captions": captions, "recordings": recordings}),
    }


def _gallery(folder: Path, described: Described) -> pd.DataFrame:
    path = described["gallery"]["path"]
    table, _ = read_table(folder / path)
    if set(SHARD_SCHEMA.names) <= set(table.column_names) and pa.types.is_binary(table.schema.field("image").type):
        return read_pixels(table, path, described)
    return pd.DataFrame(columns=["label"])


def _with_caption_split(recordings: pd.DataFrame, captions: pd.DataFrame) -> pd.DataFrame:
    if not {"label", "language"} <= set(recordings.columns) & set(captions.columns):
        return recordings
    splits = dict(zip(zip(captions["label"], captions["language"], strict=True), captions["split"], strict=True))
    pairs = zip(recordings["label"], recordings["language"], strict=True)
    return recordings.assign(caption_split=[splits.get(pair, NO_SPLIT) for pair in pairs])


def _with_other_splits(captions: pd.DataFrame) -> pd.DataFrame:
    if captions.empty:
        return captions
    sentence = captions["name"].fillna("").str.casefold()
    return captions.assign(other_splits=captions["split"].groupby(sentence).transform("nunique") - 1)


def _labels(described: Described, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    labels = pd.DataFrame({"label": range(len(described["labels"]))})
    for name, table in tables.items():
        labels[name] = _count(table, labels["label"])
        if "split" in table.columns:
            labels[f"training_{name}"] = _count(table[table["split"] == "train"], labels["label"])
    return labels


def _count(table: pd.DataFrame, labels: pd.Series) -> pd.Series:
    """Count the rows of a table for each label."""
    return labels.map(table["label"].value_counts() if "label" in table.columns else {}).fillna(0).astype(int)
