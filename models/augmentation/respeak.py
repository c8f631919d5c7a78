"""Augmentations of single recordings: pace, room, noise, a narrow line, loudness, hidden bands and moments.

The hidden bands and moments are those of SpecAugment (Park 2019, arXiv:1904.08779), cut out of the samples themselves.
So a network with any front end can learn from them, and a teacher can be asked about the same view.
"""

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.sound.audio import SAMPLE_RATE

Samples = NDArray[np.float32]
PACE = 0.12
"""Largest absolute logarithm of the pace. The pitch changes with the pace."""
ROOMS, NOISES, LINES = 0.1, 0.2, 0.1
"""Shares of the recordings that get a room, noise, or a line that carries low tones only, as a telephone's."""
ECHO, FALLS = (0.05, 0.4), 6.0
"""Length of a room's echo in seconds, and the logarithm by which it falls over that time."""
ECHO_LOUDNESS = (0.1, 0.6)
"""Size of the whole echo of a click, as a share of the click's."""
CLEAN, NOISY = 35.0, 12.0
"""Range of the speech's level over the noise, in decibels."""
RUMBLE = 400
"""Samples. The deep half of the noises has no tones below one period of this length."""
NARROWEST = 0.5
"""Least share of the tones that a line carries."""
QUIETEST = 0.5
"""Least peak, as a share of the recording's own."""
BANDS, WIDEST = 2, 0.16
"""Number of hidden bands, and the largest share of the mel scale that one hides."""
MOMENTS, LONGEST, PART = 1.0, 0.14, 0.125
"""Hidden moments a second; the longest in seconds, and as a share of the recording."""


def respeak(samples_T: NDArray[np.int16], generator: np.random.Generator) -> NDArray[np.int16]:
    """Return another take of a recording (T,): at another pace, in another room, with noise, over another line."""
    taken_T = change_pace(samples_T.astype(np.float32), np.exp(PACE * generator.uniform(-1, 1)))
    if generator.random() < ROOMS:
        taken_T = _in_a_room(taken_T, generator)
    if generator.random() < NOISES:
        taken_T = _with_noise(taken_T, generator)
    if generator.random() < LINES:
        taken_T = _over_a_line(taken_T, generator)
    peak = generator.uniform(QUIETEST, 1.0) * np.abs(samples_T).max(initial=0)
    return _as_samples(taken_T * (peak / max(1.0, np.abs(taken_T).max(initial=0))))


def hide(samples_T: NDArray[np.int16], generator: np.random.Generator) -> NDArray[np.int16]:
    """Hide some bands and some moments of a recording (T,)."""
    hidden_T = _without_bands(samples_T.astype(np.float32), generator)
    longest = int(min(LONGEST * SAMPLE_RATE, PART * len(hidden_T)))
    for _ in range(max(1, round(MOMENTS * len(hidden_T) / SAMPLE_RATE))):
        length = int(generator.integers(0, longest + 1))
        start = int(generator.integers(0, len(hidden_T) - length + 1))
        hidden_T[start : start + length] = 0
    return _as_samples(hidden_T)


def change_pace(samples_T: Samples, pace: float) -> Samples:
    """Return samples `pace` times as fast, by linear interpolation."""
    places_T = np.arange(int(len(samples_T) / pace)) * pace
    before_T = places_T.astype(np.int64)
    rises_T = np.diff(samples_T, append=samples_T[-1:])
    faster_T: Samples = samples_T[before_T] + (places_T - before_T).astype(np.float32) * rises_T[before_T]
    return faster_T


def _in_a_room(samples_T: Samples, generator: np.random.Generator) -> Samples:
    length = int(SAMPLE_RATE * generator.uniform(*ECHO))
    echo_E = generator.normal(size=length) * np.exp(-FALLS * np.arange(length) / length)
    echo_E *= generator.uniform(*ECHO_LOUDNESS) / np.sqrt((echo_E**2).sum())
    echo_E[0] = 1.0
    size = 1 << (len(samples_T) + length).bit_length()
    heard_T = np.fft.irfft(np.fft.rfft(samples_T, size) * np.fft.rfft(echo_E, size), size)
    room_T: Samples = heard_T[: len(samples_T)].astype(np.float32)
    return room_T


def _with_noise(samples_T: Samples, generator: np.random.Generator) -> Samples:
    noise_T = generator.normal(size=len(samples_T))
    if generator.random() < 1 / 2:
        deep_T = np.cumsum(noise_T)
        noise_T = deep_T - np.convolve(deep_T, np.ones(RUMBLE) / RUMBLE, "same")[: len(deep_T)]
    level = np.sqrt((samples_T**2).mean() / (noise_T**2).mean()) * 10 ** (-generator.uniform(NOISY, CLEAN) / 20)
    noisy_T: Samples = (samples_T + level * noise_T).astype(np.float32)
    return noisy_T


def _over_a_line(samples_T: Samples, generator: np.random.Generator) -> Samples:
    spectrum_K = _spectrum(samples_T)
    spectrum_K[int(len(spectrum_K) * generator.uniform(NARROWEST, 1.0)) :] = 0
    return _sound(spectrum_K, len(samples_T))


def _without_bands(samples_T: Samples, generator: np.random.Generator) -> Samples:
    spectrum_K = _spectrum(samples_T)
    for _ in range(BANDS):
        low = generator.uniform(0, 1 - WIDEST)
        edges = (_share_of_mel(low), _share_of_mel(low + generator.uniform(0, WIDEST)))
        first, last = (int(edge * len(spectrum_K)) for edge in edges)
        spectrum_K[first:last] = 0
    return _sound(spectrum_K, len(samples_T))


def _spectrum(samples_T: Samples) -> NDArray[np.complexfloating]:
    """Return the tones of a recording with silence up to a power of two, for which the transform is fastest."""
    return np.fft.rfft(samples_T, 1 << (len(samples_T) - 1).bit_length())


def _sound(spectrum_K: NDArray[np.complexfloating], length: int) -> Samples:
    samples_T: Samples = np.fft.irfft(spectrum_K)[:length].astype(np.float32)
    return samples_T


def _share_of_mel(place: float) -> float:
    """Return the share of all tones below a place on the mel scale, both from 0 to 1."""
    highest = SAMPLE_RATE / 2
    return float(700 * ((1 + highest / 700) ** place - 1) / highest)


def _as_samples(floats_T: Samples) -> NDArray[np.int16]:
    return np.round(floats_T).clip(-32_768, 32_767).astype(np.int16)
