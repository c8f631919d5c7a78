"""Validation tables for a dataset of utterances: its recordings with their texts, and those of the unseen voice."""

from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd
import pyarrow as pa

from stillhouse.models.data.transcripts import normalise_transcript
from stillhouse.tasks.data.checks.decoding import Described, read_table, table_of
from stillhouse.tasks.data.checks.utterance_facts import Heard, hear, letters_per_second
from stillhouse.tasks.data.format.layout import UNSEEN_VOICE, UTTERANCE_SCHEMA

SAID = ("text", "language", "voice")


def utterance_tables(folder: Path, described: Described, utterances: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Complete the tables of a dataset of utterances.

    Returns:
        `utterances`: gains text_splits and group_splits: the number of other splits that have the same text, or the
            same group. The unseen voice counts as a split.
        `unseen_voice`, if the dataset has one: the same columns, without those of the manifest, and with voice_rows and
            sha256_rows: the number of rows in splits that have the same voice, or the same recording. If the file is
            not a table of utterances, the table has no columns.
    """
    if UNSEEN_VOICE not in described:
        return {"utterances": _with_other_splits(utterances)}
    unseen = _read_unseen(folder, described)
    both = _with_other_splits(pd.concat([utterances, unseen.assign(split=UNSEEN_VOICE)]))
    seen, apart = both[both["split"] != UNSEEN_VOICE], both[both["split"] == UNSEEN_VOICE]
    return {
        "utterances": seen,
        UNSEEN_VOICE: apart[[*unseen.columns, *_counted(apart)]].pipe(_with_seen_rows, utterances),
    }


def read_utterances(table: pa.Table, path: str, described: Described) -> pd.DataFrame:
    """Decode utterances into the columns text, language, voice and the facts of their recordings and texts.

    The facts of a recording are those of `tasks.data.checks.utterance_facts`. The facts of a text are letters (their
    number), normalised (1 or 0), unknown_letters (their number) and letters_per_second. A missing text is empty.
    """
    audio = table["audio"].combine_chunks()
    heard = [hear(each or b"") for each in audio.to_pylist()]
    texts = [each or "" for each in table["text"].to_pylist()]
    known = set(described["transcripts"]["letters"])
    columns = {
        **{field.name: [asdict(each)[field.name] for each in heard] for field in fields(Heard)},
        "letters": [len(text.replace(" ", "")) for text in texts],
        "normalised": [int(text == normalise_transcript(text)) for text in texts],
        "unknown_letters": [len(set(text) - known) for text in texts],
        "letters_per_second": [letters_per_second(text, each.seconds) for text, each in zip(texts, heard, strict=True)],
    }
    return pd.concat([table_of(table, path, audio), table.select(SAID).to_pandas(), pd.DataFrame(columns)], axis=1)


def _read_unseen(folder: Path, described: Described) -> pd.DataFrame:
    path = described[UNSEEN_VOICE]["path"]
    table, _ = read_table(folder / path)
    return read_utterances(table, path, described) if table.schema == UTTERANCE_SCHEMA else pd.DataFrame()


def _with_other_splits(table: pd.DataFrame) -> pd.DataFrame:
    if not {"split", "text", "label"} <= set(table.columns):
        return table
    names = {"text": "text_splits", "label": "group_splits"}
    return table.assign(
        **{name: table.groupby(table[of])["split"].transform("nunique") - 1 for of, name in names.items()}
    )


def _counted(table: pd.DataFrame) -> list[str]:
    return [name for name in ("text_splits", "group_splits") if name in table.columns]


def _with_seen_rows(unseen: pd.DataFrame, utterances: pd.DataFrame) -> pd.DataFrame:
    return unseen.assign(
        **{
            f"{of}_rows": unseen[of].map(utterances[of].value_counts()).fillna(0).astype(int)
            for of in ("voice", "sha256")
            if of in unseen.columns and of in utterances.columns
        }
    )
