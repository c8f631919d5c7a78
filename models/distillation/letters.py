"""Convert sentences to letters for a CTC encoder: no accents, no digits, no case."""

import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

NOTHING = 0
"""The number for "no letter": the CTC blank, and the padding of rows."""
MOST_UNKNOWN = 0.2
"""Largest share of unknown letters in a sentence. Unknown letters are left out."""


def alphabet_of(sentences: Sequence[str]) -> dict[str, int]:
    """Number the letters that occur, from 1, in sorted order."""
    return {letter: number for number, letter in enumerate(sorted(set("".join(map(_plain, sentences)))), start=1)}


def letters_of(sentences: Sequence[str], alphabet: Mapping[str, int]) -> NDArray[np.int64]:
    """Convert each sentence (N, L) to letter numbers, padded with 0.

    A row is all 0 if too many letters of its sentence are unknown, as in another script.

    Args:
        sentences: in any language and script. Accents are removed from letters.
        alphabet: letter -> number.
    """
    spelled = [_spell(_plain(sentence), alphabet) for sentence in sentences]
    letters_NL = np.zeros((len(spelled), max(map(len, spelled), default=0)), np.int64)
    for row_L, numbers in zip(letters_NL, spelled, strict=True):
        row_L[: len(numbers)] = numbers
    return letters_NL


def _spell(plain: str, alphabet: Mapping[str, int]) -> list[int]:
    known = [alphabet[letter] for letter in plain if letter in alphabet]
    return known if len(known) >= (1 - MOST_UNKNOWN) * len(plain) else []


def _plain(sentence: str) -> str:
    decomposed = unicodedata.normalize("NFKD", sentence.casefold())
    return "".join(character for character in decomposed if character.isalpha() or character == " ")
