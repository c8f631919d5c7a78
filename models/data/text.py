"""Sentences -> code points: all the preparation that a text encoder needs, before training and at serving alike.

Which characters matter is learned: any code point goes in, and the encoder hashes what stands side by side.
"""

import reprlib
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError

CONTEXT = 96
"""Code points that count, the space before and the space behind included; what comes after them is cut off."""
SHORTEST = 3
"""Code points of the shortest sentence: one character between two spaces."""
SPARE = 16
"""Characters that are looked at for each that counts: a sentence may hold much that is invisible, but not megabytes."""
SHOWN = 40
"""Characters of a sentence in a message."""


def codes_of(sentences: Sequence[str], context: int = CONTEXT) -> NDArray[np.int64]:
    """Code points (N, L), filled up with 0, L as long as the longest sentence needs.

    Args:
        sentences: in any language and script.
        context: the most code points that count.

    Raises:
        ModelError: a sentence is no text, empty, blank, or nothing but invisible characters.
    """
    cleaned = [clean(_beginning(sentence, context))[:context] for sentence in sentences]
    codes_NL = np.zeros((len(cleaned), max(map(len, cleaned), default=0)), np.int64)
    for row_L, text in zip(codes_NL, cleaned, strict=True):
        row_L[: len(text)] = [ord(character) for character in text]
    return codes_NL


def trimmed(codes_NL: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut off the filling that none of these sentences (N, L) needs."""
    return codes_NL[:, : int((codes_NL > 0).sum(1).max())]


def clean(sentence: str) -> str:
    """Make equal what looks equal (NFKC), fold case, drop what is invisible, and put one space around every word.

    Raises:
        ModelError: nothing is left.
    """
    folded = unicodedata.normalize("NFKC", sentence).casefold()
    visible = "".join(" " if character.isspace() else character for character in folded if _shows(character))
    words = visible.split()
    if not words:
        msg = f"the sentence {sentence[:SHOWN]!r} is empty; give at least one visible character"
        raise ModelError(msg)
    return f" {' '.join(words)} "


def _beginning(sentence: object, context: int) -> str:
    """Leave out what is too far behind to count."""
    if not isinstance(sentence, str):
        msg = f"the sentence {reprlib.repr(sentence)} is no text; give a string"
        raise ModelError(msg)
    return sentence.lstrip()[: SPARE * context]


def _shows(character: str) -> bool:
    return character.isspace() or not unicodedata.category(character).startswith("C")
