"""What is measured of an utterance, and the limits that it must keep, for the build and for the validation."""

from dataclasses import dataclass
from math import nan

import numpy as np

from stillhouse.models.data.sound.clips import decode_whole
from stillhouse.models.data.sound.first_sound import SILENCE
from stillhouse.models.errors import ModelError

SHORTEST, LONGEST = 0.2, 30.0
"""Minimum and maximum length of a recording in seconds."""
LISTENED = 60.0
"""Maximum number of seconds that are decoded of one recording."""
FULL = 0.999
"""Share of full scale from which a sample counts as clipped."""
MOST_CLIPPED = 0.2
"""Maximum share of clipped samples. One voice of the stamps is so loud that 0.17 are, and it can be understood."""
MOST_LETTERS = 25.0
"""Maximum number of letters in a second. The fastest voice says 22. Beyond, the recording or the text is not whole."""


@dataclass(frozen=True)
class Heard:
    """What a recording sounds like. If it cannot be decoded whole, every value is missing."""

    seconds: float = nan
    peak: float = nan
    clipped: float = nan
    """Share of clipped samples."""
    sample_rate: float = nan


def hear(content: bytes) -> Heard:
    """Measure an audio file. Of a recording longer than `LISTENED`, only the first seconds are decoded."""
    try:
        samples_T, rate = decode_whole(content, LISTENED)
    except ModelError:
        return Heard()
    magnitudes_T = np.abs(samples_T)
    return Heard(len(samples_T) / rate, float(magnitudes_T.max()), float((magnitudes_T >= FULL).mean()), float(rate))


def letters_per_second(text: str, seconds: float) -> float:
    """Return how fast a normalised text is spoken, spaces not counted."""
    return len(text.replace(" ", "")) / seconds if seconds else nan


def fault_of_utterance(heard: Heard, text: str) -> str:
    """Name the first limit that a recording and its normalised text break; empty if they keep all."""
    faults = {
        "recording that cannot be read whole": np.isnan(heard.seconds),
        f"recording of less than {SHORTEST} s": heard.seconds < SHORTEST,
        f"recording of more than {LONGEST:g} s": heard.seconds > LONGEST,
        "silent recording": heard.peak <= SILENCE,
        "clipped recording": heard.clipped > MOST_CLIPPED,
        "more text than its recording can hold": letters_per_second(text, heard.seconds) > MOST_LETTERS,
    }
    return next((name for name, broken in faults.items() if broken), "")
