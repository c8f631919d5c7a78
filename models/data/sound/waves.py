"""Convert waveforms to the input of a speech encoder: the first seconds that are not silent, at full volume, 16 bits.

All rows have the same length, so that recordings can use the same code as pictures.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.sound.audio import SAMPLE_RATE, waveform_of
from stillhouse.models.data.sound.first_sound import QUIET, mute_clicks

SECONDS = 2.0
"""Seconds of a recording that the encoder sees, from the first sound. Five of six spoken captions are shorter."""
LENGTH = int(SECONDS * SAMPLE_RATE)
LOUDEST = 32_000


def waves_of(files: Sequence[bytes]) -> NDArray[np.int16]:
    """Convert audio files to samples (N, LENGTH), padded with 0.

    Raises:
        ModelError: a file cannot be read, is silent or too short.
    """
    waves_NT = np.zeros((len(files), LENGTH), np.int16)
    for wave_T, content in zip(waves_NT, files, strict=True):
        said_T = trim_silence(waveform_of(content))
        wave_T[: len(said_T)] = said_T
    return waves_NT


def trim_silence(samples_T: NDArray[np.float32]) -> NDArray[np.int16]:
    """Cut off quiet parts at both ends, clicks that would hide speech, and everything after SECONDS."""
    samples_T = mute_clicks(samples_T, SAMPLE_RATE, SECONDS)
    peak = np.abs(samples_T).max()
    loud = np.flatnonzero(np.abs(samples_T) > QUIET * peak)
    said_T = samples_T[loud[0] : loud[-1] + 1][:LENGTH]
    whole_T: NDArray[np.int16] = np.round(said_T * (LOUDEST / peak)).astype(np.int16)
    return whole_T
