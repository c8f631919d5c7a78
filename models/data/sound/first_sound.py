"""Find where speech begins in a recording: after the silence, and not at a single click.

All decisions use the loudest sample of each hundredth of a second.
"""

import numpy as np
from numpy.typing import NDArray

FRAME = 0.01
"""Length of a frame in seconds."""
CLICK, PAUSE = 6, 30
"""Length of the longest click, and of the shortest pause that separates two sounds, in frames."""
SILENCE = 1e-3
"""Highest peak that counts as silence: -60 dBFS."""
QUIET = 0.02
"""Share of the peak. Frames below it at the start and at the end are cut off."""
STANDS_OUT = 0.2
"""Share of the way from the background to the peak. Speech stands out from the noise above this level."""
BACKGROUND = 10
"""The background level is this percentile of the frames' levels."""
MISSED, DROWNED = 0.1, 2.0
"""When a click matters.

A click matters if the window that begins with it misses more than this share of the speech, or if the click is more
than this many times as loud as the speech.
"""

Levels = NDArray[np.float32]


def speech_start(samples_T: NDArray[np.float32], rate: int) -> float:
    """Return the seconds before the first sound that stands out from the background and is no click; 0 in silence."""
    levels_F = drop_clicks(levels_of(samples_T, rate))
    floor, peak = np.percentile(levels_F, BACKGROUND), levels_F.max()
    return FRAME * float(np.argmax(levels_F >= floor + STANDS_OUT * (peak - floor)))


def mute_clicks(samples_T: NDArray[np.float32], rate: int, seconds: float) -> NDArray[np.float32]:
    """Silence the clicks that would hide speech in the first `seconds` seconds from the first sound."""
    levels_F = levels_of(samples_T, rate)
    speech_F = drop_clicks(levels_F)
    length = round(seconds / FRAME)
    if not (speech_F != levels_F).any() or not _matter(levels_F, speech_F, length):
        return samples_T
    silent_T = np.repeat(speech_F != levels_F, _size(rate))[: len(samples_T)]
    return np.where(silent_T, np.float32(0), samples_T)


def levels_of(samples_T: NDArray[np.float32], rate: int) -> Levels:
    """Return the loudest sample (F,) of each frame. The last frame may be shorter."""
    size = _size(rate)
    whole_T = np.pad(np.abs(samples_T), (0, -len(samples_T) % size))
    peaks_F: Levels = whole_T.reshape(-1, size).max(axis=1)
    return peaks_F


def drop_clicks(levels_F: Levels) -> Levels:
    """Set the level of clicks to 0, unless the recording has nothing but clicks."""
    while clicks := [(start, end) for start, end in sounds(levels_F) if end - start <= CLICK]:
        left_F = levels_F.copy()
        for start, end in clicks:
            left_F[start:end] = 0
        if left_F.max() <= SILENCE:
            break
        levels_F = left_F
    return levels_F


def sounds(levels_F: Levels) -> list[tuple[int, int]]:
    """Return the first frame of each sound and the frame after its last.

    Pauses shorter than `PAUSE` do not end a sound.
    """
    loud = np.flatnonzero(levels_F > QUIET * levels_F.max())
    if not len(loud):
        return []
    apart = np.flatnonzero(np.diff(loud) > PAUSE)
    starts, ends = loud[[0, *(apart + 1)]], loud[[*apart, -1]] + 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _matter(levels_F: Levels, speech_F: Levels, length: int) -> bool:
    if levels_F.max() > DROWNED * speech_F.max():
        return True
    spoken_F = speech_F > QUIET * speech_F.max()
    heard, best = (np.count_nonzero(spoken_F[start : start + length]) for start in map(_first, (levels_F, speech_F)))
    return bool(heard < (1 - MISSED) * best)


def _first(levels_F: Levels) -> int:
    return int(np.argmax(levels_F > QUIET * levels_F.max()))


def _size(rate: int) -> int:
    return max(1, round(FRAME * rate))
