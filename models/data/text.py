"""Convert sentences to code points. This is all preprocessing of a text encoder, in training and in serving.

The encoder accepts any code point and hashes neighbouring characters. Training learns which characters matter.
"""

import reprlib
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError

CONTEXT = 96
"""Largest number of code points, including one space before and one space behind. The rest is cut off."""
SHORTEST = 3
"""Code points of the shortest sentence: one character between two spaces."""
SPARE = 16
"""Characters that are read for each code point that counts.

A sentence may have many invisible characters, but not megabytes of them.
"""
SHOWN = 40
"""Characters of a sentence that an error message shows."""


def codes_of(sentences: Sequence[str], context: int = CONTEXT) -> NDArray[np.int64]:
    """Convert sentences to code points (N, L), padded with 0. L is the length of the longest sentence.

    Args:
        sentences: in any language and script.
        context: largest number of code points per sentence.

    Raises:
        ModelError: a sentence is not text, is empty or blank, or has only invisible characters.
    """
    cleaned = [clean(_beginning(sentence, context))[:context] for sentence in sentences]
    codes_NL = np.zeros((len(cleaned), max(map(len, cleaned), default=0)), np.int64)
    for row_L, text in zip(codes_NL, cleaned, strict=True):
        row_L[: len(text)] = [ord(character) for character in text]
    return codes_NL


def trim_padding(codes_NL: NDArray[np.int64]) -> NDArray[np.int64]:
    """Remove the padding columns that none of these sentences (N, L), of code points or tokens, needs."""
    return codes_NL[:, : int((codes_NL > 0).sum(1).max())]


def clean(sentence: str) -> str:
    """Normalise (NFKC), fold case, remove invisible characters, and put one space around every word.

    Raises:
        ModelError: no character is left.
    """
    folded = unicodedata.normalize("NFKC", sentence).casefold()
    visible = "".join(" " if character.isspace() else character for character in folded if _shows(character))
    words = visible.split()
    if not words:
        msg = f"the sentence {sentence[:SHOWN]!r} is empty; give at least one visible character"
        raise ModelError(msg)
    return f" {' '.join(words)} "


def _beginning(sentence: object, context: int) -> str:
    """Cut off the characters that are too far behind to count."""
    if not isinstance(sentence, str):
        msg = f"the sentence {reprlib.repr(sentence)} is no text; give a string"
        raise ModelError(msg)
    return sentence.lstrip()[: SPARE * context]


def _shows(character: str) -> bool:
    return character.isspace() or not unicodedata.category(character).startswith("C")
