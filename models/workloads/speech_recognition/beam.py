"""Prefix beam search over a network's letters with a language model (Hannun 2014, arXiv:1408.2873)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.workloads.speech_recognition.language_model import END, LanguageModel
from stillhouse.models.workloads.transcripts.spelling import NOTHING

WIDTH = 8
"""Texts that are followed at once."""
LIKELY = 0.01
"""Least probability of a letter that extends a text."""
MODEL_WEIGHT, LETTER_BONUS = 0.5, 1.0
"""Weight of the language model's logarithm, and the reward of each letter. They were not tuned."""
NEVER = -math.inf


@dataclass
class _Ending:
    """Logarithms of the probability that the frames so far spell a text, by whether the last frame is blank."""

    blank: float = NEVER
    letter: float = NEVER

    @property
    def both(self) -> float:
        return _add(self.blank, self.letter)


def read_with_beam(logits_FV: NDArray[np.float32], letters: Sequence[str], model: LanguageModel) -> str:
    """Return the text that the network and the language model together find most likely.

    Args:
        logits_FV: the network's logits of each frame.
        letters: the vocabulary; number 0 is the blank.
        model: how likely a letter is after others.
    """
    wide_FV = logits_FV.astype(np.float64)
    logs_FV = wide_FV - np.logaddexp.reduce(wide_FV, axis=1, keepdims=True)
    beam = {"": _Ending(blank=0.0)}
    scores = {"": 0.0}
    for logs_V in logs_FV:
        beam = _extend(beam, logs_V, letters)
        for text in beam:
            if text not in scores:
                scores[text] = scores[text[:-1]] + MODEL_WEIGHT * model.log_chance(text[-1], text[:-1]) + LETTER_BONUS
        best = sorted(beam, key=lambda text: beam[text].both + scores[text], reverse=True)[:WIDTH]
        beam = {text: beam[text] for text in best}

    def whole(text: str) -> float:
        return beam[text].both + scores[text] + MODEL_WEIGHT * model.log_chance(END, text)

    return max(beam, key=whole).strip()


def _extend(beam: dict[str, _Ending], logs_V: NDArray[np.float64], letters: Sequence[str]) -> dict[str, _Ending]:
    """Return the texts after one more frame: unchanged, or with one more letter."""
    likely = [int(number) for number in np.flatnonzero(logs_V > math.log(LIKELY)) if number != NOTHING]
    after: dict[str, _Ending] = {}
    for text, ending in beam.items():
        same = after.setdefault(text, _Ending())
        same.blank = _add(same.blank, ending.both + logs_V[NOTHING])
        for number in likely:
            letter = letters[number - 1]
            if text.endswith(letter):
                same.letter = _add(same.letter, ending.letter + logs_V[number])
            longer = after.setdefault(text + letter, _Ending())
            before = ending.blank if text.endswith(letter) else ending.both
            longer.letter = _add(longer.letter, before + logs_V[number])
    return after


def _add(one: float, other: float) -> float:
    """Add two probabilities, given and returned as logarithms."""
    high, low = (one, other) if one > other else (other, one)
    return high if low == NEVER else high + math.log1p(math.exp(low - high))
