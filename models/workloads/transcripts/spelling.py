"""Convert transcripts to the numbers of letters, and a network's letters for each frame to a text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

NOTHING = 0
"""The number for "no letter": the blank of CTC, and the padding of rows."""
LETTERS = "letters"
"""Name of the vocabulary in a dataset's description and in a bundle."""


def number_letters(texts: Sequence[str], letters: Sequence[str]) -> NDArray[np.int64]:
    """Convert texts to letter numbers (N, L) from 1, padded with 0. The data's contract allows no other letters."""
    number_of = {letter: number for number, letter in enumerate(letters, start=1)}
    letters_NL = np.zeros((len(texts), max(map(len, texts), default=0)), np.int64)
    for row_L, text in zip(letters_NL, texts, strict=True):
        row_L[: len(text)] = [number_of[letter] for letter in text]
    return letters_NL


def read_greedily(logits_FV: NDArray[np.floating], letters: Sequence[str]) -> str:
    """Return the most likely letter of each frame as a text: repeated letters count once, blanks not at all."""
    best_F = logits_FV.argmax(1)
    begins_F = np.flatnonzero(np.diff(best_F, prepend=NOTHING))
    return "".join(letters[number - 1] for number in best_F[begins_F] if number != NOTHING).strip()
