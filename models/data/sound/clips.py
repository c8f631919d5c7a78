"""Recordings with classes as clips: 16-bit samples, mono, 16 kHz, all of one length.

A longer recording is cut at its end, and a shorter one is filled with silence.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.audio import SAMPLE_RATE, SHORTEST, check_kind, decode, resample, unreadable
from stillhouse.models.data.sound.first_sound import SILENCE
from stillhouse.models.errors import ModelError

FULL_SCALE = 32_767.0
MARGIN = 0.1
"""Seconds that are decoded after the end of a clip, so that the resampling has no edge there."""
UNKNOWN = (0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF)
"""Lengths of the samples in the header of a WAV file that mean that the length was not known."""
PAGE_HEADER = 27
"""Bytes of the header of an Ogg page before its table of segments, whose length is the last of them."""
SEEN = 1.0 / SAMPLE_RATE
"""Seconds by which a file may end before its header says."""


@dataclass(frozen=True)
class Clips:
    """Clips of one split, in memory."""

    samples_NT: NDArray[np.int16]
    labels_N: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.labels_N)


def load_clips(folder: Path, split: str) -> Clips:
    """Read every shard of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no such split, or holds no clips.
    """
    import pyarrow.parquet as pq

    described = describe(folder)
    if "clips" not in described:
        msg = f"{described['name']} holds no recordings with classes; name a dataset of them in data.dataset"
        raise ModelError(msg)
    if split not in described["splits"]:
        msg = f"{described['name']} has no split {split!r}; use one of {', '.join(described['splits'])}"
        raise ModelError(msg)
    table = pq.read_table([folder / shard["path"] for shard in described["splits"][split]["shards"]])
    samples = np.frombuffer(b"".join(table["audio"].to_pylist()), "<i2").astype(np.int16)
    labels_N = table["label"].to_numpy().astype(np.int64)
    return Clips(samples.reshape(len(table), described["clips"]["samples"]), labels_N)


def clip_of(content: bytes, samples: int) -> NDArray[np.int16]:
    """Decode an audio file to a clip (samples,).

    Raises:
        ModelError: the file cannot be read, ends early, is too short, or is silent where the clip is.
    """
    decoded_T, rate = decode_whole(content, samples / SAMPLE_RATE + MARGIN)
    clip_T = resample(decoded_T, rate)[:samples]
    if np.abs(clip_T).max() <= SILENCE:
        msg = f"the first {len(clip_T) / SAMPLE_RATE:.2f} s are silent (their peak is below -60 dBFS); cut them off"
        raise ModelError(msg)
    rounded_T = np.round(np.clip(clip_T, -1.0, 1.0) * FULL_SCALE).astype(np.int16)
    return np.pad(rounded_T, (0, samples - len(rounded_T)))


def decode_whole(content: bytes, longest: float) -> tuple[NDArray[np.float32], int]:
    """Decode the first `longest` seconds of an audio file that is whole. Returns samples_T, mono, and their rate.

    Raises:
        ModelError: the file cannot be read, ends early, or is too short.
    """
    whole = seconds_of(content)
    if whole < SHORTEST:
        msg = f"the recording lasts {whole:.2f} s; give one of at least {SHORTEST} s"
        raise ModelError(msg)
    decoded_T, rate = decode(content, longest)
    if (found := len(decoded_T) / rate) < min(whole, longest) - SEEN:
        msg = f"the recording ends after {found:.2f} of {whole:.2f} s; copy the file again"
        raise ModelError(msg)
    return decoded_T, rate


def seconds_of(content: bytes) -> float:
    """Return how long a recording lasts, as the header of its file says.

    Raises:
        ModelError: the file cannot be read, or is cut off.
    """
    check_kind(content)
    if missing := missing_bytes(content):
        msg = f"the file is cut off: {missing:,} of its bytes are missing; copy it again"
        raise ModelError(msg)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            return float(file.frames / file.samplerate)
    except Exception as error:  # a malicious file can raise any error
        raise unreadable(error) from error


def missing_bytes(content: bytes) -> int:
    """Count the bytes that a WAV or Ogg file lacks at its end. The decoder would not notice it. 0 of other files."""
    if content.startswith(b"RIFF"):
        return _missing_samples(content)
    return _missing_of_page(content) if content.startswith(b"OggS") else 0


def _missing_of_page(content: bytes) -> int:
    """Count the bytes that the last page of an Ogg file lacks. Its header lists the lengths of its segments."""
    page = content[content.rfind(b"OggS") :]
    if len(page) < PAGE_HEADER:
        return PAGE_HEADER - len(page)
    segments = page[PAGE_HEADER - 1]
    lengths = page[PAGE_HEADER : PAGE_HEADER + segments]
    return max(0, PAGE_HEADER + segments + sum(lengths) - len(page))


def _missing_samples(content: bytes) -> int:
    """Count the bytes that the samples of a WAV file lack.

    A program that wrote into a pipe does not know the length. It leaves 0 or the largest number there.
    """
    place = 12
    while place + 8 <= len(content):
        name, length = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        if name == b"data":
            return 0 if length in UNKNOWN else max(0, length - (len(content) - place - 8))
        place += 8 + length + length % 2
    return 0
