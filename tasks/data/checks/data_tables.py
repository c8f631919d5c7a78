"""Read a dataset into plain tables for validation: shards, manifest, decoded content, splits and captions.

This module only reads and makes no judgement. If a shard cannot be read, its row in the table says so.
"""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import pandas as pd
import pyarrow as pa

from stillhouse.models.data.texts import CONTROL
from stillhouse.tasks.data.checks.decoding import (
    Described,
    read_arrays,
    read_clips,
    read_lines,
    read_pixels,
    read_recordings,
    read_table,
    read_texts,
    schema_text,
)
from stillhouse.tasks.data.checks.prompt_expectations import read_prompts
from stillhouse.tasks.data.checks.spoken_tables import spoken_tables
from stillhouse.tasks.data.checks.utterance_tables import read_utterances, utterance_tables
from stillhouse.tasks.data.format.dataset import split_digest
from stillhouse.tasks.data.format.layout import (
    is_array,
    is_clip,
    is_line,
    is_spoken,
    is_text,
    is_transcribed,
    layout_of,
)

Decoder = Callable[[pa.Table, str, Described], pd.DataFrame]


def tables_of(folder: Path, described: Described) -> dict[str, pd.DataFrame]:
    """Read the tables of one dataset.

    Every dataset has four tables. A dataset with captions has a fifth, and a dataset with recordings has two more. The
    content of a dataset of utterances is its table `utterances`, and its unseen voice has a table.

    Returns:
        `shards`: path, schema, rows, expected_rows.
        `manifest`: the manifest, unchanged.
        `content` (or `recordings`, for a dataset with recordings): one row per stored example, with id, label or
            target, sha256, the columns of `tasks.data.checks.decoding`, and the manifest's values (manifest_id,
            manifest_label, manifest_sha256). If the shards or the manifest lack the row, its values are missing.
        `splits`: split, rows, expected_rows, digest, expected_digest, missing_labels.
        `captions`: one row per label and language, plus the other rows of the file. Columns: label, language, name,
            tags (their number) and bad_tags (the number of tags that are blank or have control characters). If the file
            lacks the row, its values are missing. If the file is not a table of captions, the table has no columns.
            With recordings, the table has only the rows of the file.
        `gallery` and `labels`: see `tasks.data.checks.spoken_tables`.
        `prompts`: see `tasks.data.checks.prompt_expectations`.
        `utterances` and `unseen_voice`: see `tasks.data.checks.utterance_tables`.
    """
    manifest, _ = read_table(folder / described["manifest"]["path"])
    listed = manifest.to_pandas()
    shards, content = _shards(folder, described)
    content = _join_manifest(content, listed)
    tables = {"shards": shards, "manifest": listed, "splits": _splits(listed, described)}
    if is_transcribed(described):
        return tables | utterance_tables(folder, described, content)
    if "captions" in described:
        tables["captions"] = _captions(folder, described)
    if "prompts" in described:
        tables["prompts"] = read_prompts(folder, described)
    if is_spoken(described):
        return tables | spoken_tables(folder, described, content, tables["captions"])
    return tables | {"content": content}


def _shards(folder: Path, described: Described) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Describe each shard, and collect the rows of all shards."""
    wanted, decoded = layout_of(described).shard, _decoder(described)
    shards, contents = [], []
    for shard in (shard for split in described["splits"].values() for shard in split["shards"]):
        table, schema = read_table(folder / shard["path"])
        shards.append({"path": shard["path"], "schema": schema, "rows": len(table), "expected_rows": shard["rows"]})
        content = wanted.field(1)
        if set(wanted.names) <= set(table.column_names) and table.schema.field(content.name).type == content.type:
            contents.append(decoded(table, shard["path"], described))
    return pd.DataFrame(shards), pd.concat(contents) if contents else pd.DataFrame(columns=["shard", "row"])


def _decoder(described: Described) -> Decoder:
    if is_transcribed(described):
        return read_utterances
    if is_spoken(described):
        return read_recordings
    if is_text(described):
        return read_texts
    if is_clip(described):
        return read_clips
    if is_line(described):
        return read_lines
    return read_arrays if is_array(described) else read_pixels


def _join_manifest(content: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    if not {"shard", "row"} <= set(manifest.columns):
        return content
    said = manifest.rename(columns={name: f"manifest_{name}" for name in ("id", "label", "language", "sha256")})
    return content.merge(said, on=["shard", "row"], how="outer")


def _splits(manifest: pd.DataFrame, described: Described) -> pd.DataFrame:
    if not {"split", "sha256"} <= set(manifest.columns):
        return pd.DataFrame(columns=["split"])
    labels = set(range(len(described.get("labels", ()))))
    rows = []
    for split, expected in described["splits"].items():
        chosen = manifest[manifest["split"] == split]
        rows.append(
            {
                "split": split,
                "rows": len(chosen),
                "expected_rows": expected["count"],
                "digest": split_digest([str(digest) for digest in chosen["sha256"]]),
                "expected_digest": expected["digest"],
                "missing_labels": len(labels - set(chosen.get("label", ()))),
            }
        )
    return pd.DataFrame(rows)


def _captions(folder: Path, described: Described) -> pd.DataFrame:
    table, schema = read_table(folder / described["captions"]["path"])
    if schema != schema_text(layout_of(described).beside["captions"]):
        return pd.DataFrame()
    tags = table["tags"].to_pylist()
    listed = table.drop_columns(["tags"]).to_pandas()
    listed.insert(3, "tags", [len(each or ()) for each in tags])
    listed.insert(4, "bad_tags", [sum(_is_bad(tag) for tag in each or ()) for each in tags])
    if is_spoken(described):
        return listed
    wanted = product(range(len(described["labels"])), described["languages"])
    return pd.DataFrame(wanted, columns=["label", "language"]).merge(listed, on=["label", "language"], how="outer")


def _is_bad(tag: str | None) -> bool:
    return not (tag or "").strip() or bool(CONTROL.search(tag or ""))
