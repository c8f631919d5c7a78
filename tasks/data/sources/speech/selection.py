"""Select the rows of a dataset of utterances. Every row that is left out is counted under its reason."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from stillhouse.models.data.transcripts import has_symbols, normalise_transcript
from stillhouse.tasks.data.checks.utterance_facts import fault_of_utterance, hear
from stillhouse.tasks.data.sources.order import rank
from stillhouse.tasks.data.sources.speech.row import TRAIN, Row

SCRIPTS = {"be": "CYRILLIC", "bg": "CYRILLIC", "el": "GREEK", "ru": "CYRILLIC"}
"""Script of a language, as the names of Unicode's characters begin. Other languages are written in Latin letters."""
LATIN = "LATIN"
REPEATED = "recording that is there already"
HEARD_ELSEWHERE = "training text that another split has"
UNKNOWN_LETTER = "text with a letter that training does not have"


def select(rows: Iterable[Row], rejected: Counter[str]) -> list[Row]:
    """Return the rows that a dataset may have, in the order of their ranks, with normalised texts.

    Args:
        rows: all rows of the sources.
        rejected: reason -> rows left out; this function adds to it.
    """
    faults = [(row, fault_of(row)) for row in rows]
    rejected.update(fault for _, fault in faults if fault)
    sound = [replace(row, text=normalise_transcript(row.text)) for row, fault in faults if not fault]
    # If two rows exclude each other, the one that is not for training stays.
    ordered = sorted(sound, key=lambda row: (row.split == TRAIN, rank(row.id)))
    kept = _without_repeats(ordered, rejected)
    held = {row.text for row in kept if row.split != TRAIN}
    kept = _without(kept, lambda row: row.split == TRAIN and row.text in held, HEARD_ELSEWHERE, rejected)
    letters = set(letters_of(kept))
    return _without(kept, lambda row: not letters.issuperset(row.text), UNKNOWN_LETTER, rejected)


def letters_of(rows: Iterable[Row]) -> list[str]:
    """Return the characters of the training texts, sorted."""
    return sorted(set().union(*(row.text for row in rows if row.split == TRAIN)))


def fault_of(row: Row) -> str:
    """Name the first fault of a row by itself; empty if it has none."""
    if has_symbols(row.text):
        return "text with a digit or a symbol that is read aloud"
    text = normalise_transcript(row.text)
    if not text:
        return "text without a letter"
    if not _in_script(text, SCRIPTS.get(row.language, LATIN)):
        return "text with a letter of another script"
    return fault_of_utterance(hear(row.audio), text)


def _in_script(text: str, script: str) -> bool:
    return all(unicodedata.name(each, script).startswith(script) for each in text if each.isalpha())


def _without(rows: list[Row], is_out: Callable[[Row], bool], reason: str, rejected: Counter[str]) -> list[Row]:
    kept = [row for row in rows if not is_out(row)]
    rejected[reason] += len(rows) - len(kept)
    return kept


def _without_repeats(rows: list[Row], rejected: Counter[str]) -> list[Row]:
    first: dict[bytes, Row] = {}
    for row in rows:
        first.setdefault(hashlib.sha256(row.audio).digest(), row)
    rejected[REPEATED] += len(rows) - len(first)
    return list(first.values())
