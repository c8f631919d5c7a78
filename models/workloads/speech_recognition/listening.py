"""Read a recording of any length: cut it where it is quiet, read each piece, join the texts."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.clips import seconds_of
from stillhouse.models.data.sound.utterances import LONGEST as DECODED
from stillhouse.models.data.sound.utterances import SilentError, utterance_of
from stillhouse.models.errors import ModelError

LONGEST, SHORTEST = 12.0, 6.0
"""Seconds. A longer recording is cut at the quietest moment between these two lengths."""
MOMENT = 0.1
"""Length in seconds of the moments that are compared."""


def transcribe(content: bytes, read: Callable[[NDArray[np.int16]], str]) -> str:
    """Return the text of an audio file. A silent recording gives an empty text.

    Args:
        content: a whole audio file.
        read: returns the text of samples (T,).

    Raises:
        ModelError: the file cannot be read, or is too long.
    """
    if (seconds := seconds_of(content)) > DECODED:
        msg = f"the recording lasts {seconds / 60:.0f} minutes; send at most {DECODED / 60:.0f} minutes at once"
        raise ModelError(msg)
    try:
        samples_T = utterance_of(content)
    except SilentError:
        return ""
    return " ".join(filter(None, map(read, cut(samples_T))))


def cut(samples_T: NDArray[np.int16]) -> list[NDArray[np.int16]]:
    """Divide samples (T,) into pieces of at most `LONGEST` seconds, at quiet moments."""
    pieces = []
    while len(samples_T) > LONGEST * SAMPLE_RATE:
        place = _quietest(samples_T[: int(LONGEST * SAMPLE_RATE)])
        pieces.append(samples_T[:place])
        samples_T = samples_T[place:]
    return [*pieces, samples_T]


def _quietest(samples_T: NDArray[np.int16]) -> int:
    """Return the middle of the quietest moment after `SHORTEST` seconds."""
    size, first = int(MOMENT * SAMPLE_RATE), int(SHORTEST * SAMPLE_RATE)
    later_T = samples_T[first : first + (len(samples_T) - first) // size * size].astype(np.float64)
    energies_M = (later_T.reshape(-1, size) ** 2).sum(1)
    return first + int(energies_M.argmin()) * size + size // 2
