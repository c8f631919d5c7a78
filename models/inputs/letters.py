"""Sentences -> letters, for a tower that learns to spell what it hears: no accents, no digits, no case."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOTHING = 0
"""What stands for no letter: the blank of CTC, and what fills rows up."""


def letters_of(sentences: Sequence[str]) -> NDArray[np.int64]:
    """Spell each sentence (N, L) by numbers from 1, in the order of the letters that occur; rows are filled up with 0.

    Args:
        sentences: in any language and script; an accent is taken off its letter.
    """
    spelled = [_plain(sentence) for sentence in sentences]
    numbers = {letter: number for number, letter in enumerate(sorted(set("".join(spelled))), start=1)}
    letters_NL = np.zeros((len(spelled), max(map(len, spelled), default=0)), np.int64)
    for row_L, text in zip(letters_NL, spelled, strict=True):
        row_L[: len(text)] = [numbers[letter] for letter in text]
    return letters_NL


def _plain(sentence: str) -> str:
    decomposed = unicodedata.normalize("NFKD", sentence.casefold())
    return "".join(character for character in decomposed if character.isalpha() or character == " ")
