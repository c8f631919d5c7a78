"""Sentences -> letters, for an encoder that spells what it hears: no accents, no digits, no case."""

import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

NOTHING = 0
"""What stands for no letter: the blank of CTC, and what fills rows up."""
MOST_UNKNOWN = 0.2
"""Share of a sentence's letters that may be unknown; such letters are left out."""


def alphabet_of(sentences: Sequence[str]) -> dict[str, int]:
    """Number the letters that occur, from 1, in their order."""
    return {letter: number for number, letter in enumerate(sorted(set("".join(map(_plain, sentences)))), start=1)}


def letters_of(sentences: Sequence[str], alphabet: Mapping[str, int]) -> NDArray[np.int64]:
    """Spell each sentence (N, L) by the numbers of an alphabet; rows are filled up with 0.

    A sentence of which too much is unknown, as one in another script, is all 0.

    Args:
        sentences: in any language and script; an accent is taken off its letter.
        alphabet: number of each letter.
    """
    spelled = [_spelled(_plain(sentence), alphabet) for sentence in sentences]
    letters_NL = np.zeros((len(spelled), max(map(len, spelled), default=0)), np.int64)
    for row_L, numbers in zip(letters_NL, spelled, strict=True):
        row_L[: len(numbers)] = numbers
    return letters_NL


def _spelled(plain: str, alphabet: Mapping[str, int]) -> list[int]:
    known = [alphabet[letter] for letter in plain if letter in alphabet]
    return known if len(known) >= (1 - MOST_UNKNOWN) * len(plain) else []


def _plain(sentence: str) -> str:
    decomposed = unicodedata.normalize("NFKD", sentence.casefold())
    return "".join(character for character in decomposed if character.isalpha() or character == " ")
