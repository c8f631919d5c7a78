"""What validation looks at besides in a dataset of recordings: its gallery, its pairs' roles and what a label lacks."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

from stillhouse.tasks.data.checks.decoding import Described, pixels_in, read_table
from stillhouse.tasks.data.format.layout import SHARD_SCHEMA

NO_ROLE = "none"
"""The caption's role of a recording whose pair has no caption."""


def spoken_tables(
    folder: Path, described: Described, recordings: pd.DataFrame, captions: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Complete the tables of a dataset with recordings.

    Returns:
        `recordings`: with caption_role, the role of the same label in the same language among the captions.
        `captions`: with other_roles, in how many other roles the same sentence stands, whatever its language.
        `gallery`: a row per picture: label, image_bytes, minimum, maximum; without rows when it is no table of images.
        `labels`: a row per label: label, and how many pictures, captions, recordings, training_captions and
        training_recordings it has.
    """
    gallery = _gallery(folder, described)
    return {
        "recordings": _with_caption_role(recordings, captions),
        "captions": _with_other_roles(captions),
        "gallery": gallery,
        "labels": _labels(described, {"pictures": gallery, "captions": captions, "recordings": recordings}),
    }


def _gallery(folder: Path, described: Described) -> pd.DataFrame:
    path = described["gallery"]["path"]
    table, _ = read_table(folder / path)
    if set(SHARD_SCHEMA.names) <= set(table.column_names) and pa.types.is_binary(table.schema.field("image").type):
        return pixels_in(table, path, described)
    return pd.DataFrame(columns=["label"])


def _with_caption_role(recordings: pd.DataFrame, captions: pd.DataFrame) -> pd.DataFrame:
    if not {"label", "language"} <= set(recordings.columns) & set(captions.columns):
        return recordings
    roles = dict(zip(zip(captions["label"], captions["language"], strict=True), captions["role"], strict=True))
    pairs = zip(recordings["label"], recordings["language"], strict=True)
    return recordings.assign(caption_role=[roles.get(pair, NO_ROLE) for pair in pairs])


def _with_other_roles(captions: pd.DataFrame) -> pd.DataFrame:
    if captions.empty:
        return captions
    sentence = captions["name"].fillna("").str.casefold()
    return captions.assign(other_roles=captions["role"].groupby(sentence).transform("nunique") - 1)


def _labels(described: Described, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    labels = pd.DataFrame({"label": range(len(described["labels"]))})
    for name, table in tables.items():
        labels[name] = _counted(table, labels["label"])
        if "role" in table.columns:
            labels[f"training_{name}"] = _counted(table[table["role"] == "train"], labels["label"])
    return labels


def _counted(table: pd.DataFrame, labels: pd.Series) -> pd.Series:
    """How many rows of a table each label has."""
    return labels.map(table["label"].value_counts() if "label" in table.columns else {}).fillna(0).astype(int)
