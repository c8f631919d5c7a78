"""Recordings on disk -> waveforms: original bytes, decoded when asked for. The pull checked their digests."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from models.errors import ModelError
from models.inputs.images import describe

SAMPLE_RATE = 16_000
"""Hertz of a waveform."""
LONGEST, SHORTEST = 4.0, 0.1
"""Seconds of a waveform: the rest is cut off, and less is refused."""
SILENCE = 1e-3
"""The highest peak that is silence: -60 dBFS."""


@dataclass(frozen=True)
class Recordings:
    """Spoken captions of one role, as their publisher encoded them."""

    labels_N: NDArray[np.int64]
    """Class indices, as those of the gallery and the captions."""
    languages: list[str]
    audio: list[bytes]
    """Whole files, for `waveform_of`."""

    def __len__(self) -> int:
        """Count the recordings."""
        return len(self.labels_N)


def load_recordings(folder: Path, role: str) -> Recordings:
    """Read every shard of a role of a materialised dataset.

    Raises:
        ModelError: the dataset has no recordings, or no such role.
    """
    description = describe(folder)
    if "sample_rates" not in description:
        msg = f"{description['name']} has no recordings; name a dataset with recordings in the recipe's data.dataset"
        raise ModelError(msg)
    if role not in description["roles"]:
        msg = f"{description['name']} has no role {role!r}; use one of {', '.join(description['roles'])}"
        raise ModelError(msg)
    table = pq.read_table([folder / shard["path"] for shard in description["roles"][role]["shards"]])
    return Recordings(
        labels_N=table["label"].to_numpy().astype(np.int64),
        languages=table["language"].to_pylist(),
        audio=table["audio"].to_pylist(),
    )


def waveform_of(content: bytes) -> NDArray[np.float32]:
    """Samples_T of an audio file: mono, `SAMPLE_RATE`, as loud as it was recorded, at most `LONGEST` seconds.

    Raises:
        ModelError: it cannot be read, is silent or too short.
    """
    from scipy.signal import resample_poly

    samples_T, rate = decode(content, LONGEST)
    if len(samples_T) < SHORTEST * rate:
        msg = f"the recording lasts {len(samples_T) / rate:.2f} s; give one of at least {SHORTEST} s"
        raise ModelError(msg)
    if np.abs(samples_T).max() <= SILENCE:
        msg = "the recording is silent (its peak is below -60 dBFS); record it again, louder"
        raise ModelError(msg)
    common = math.gcd(SAMPLE_RATE, rate)
    resampled_T = resample_poly(samples_T, SAMPLE_RATE // common, rate // common)
    return np.ascontiguousarray(resampled_T[: int(LONGEST * SAMPLE_RATE)], np.float32)


def decode(content: bytes, longest: float) -> tuple[NDArray[np.float32], int]:
    """Decode the first `longest` seconds of an audio file; returns samples_T, mono, and their rate in hertz.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            rate = int(file.samplerate)
            samples_TC = file.read(math.ceil(longest * rate), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        msg = f"the recording cannot be read ({error}); give a whole Ogg, FLAC, MP3 or WAV file"
        raise ModelError(msg) from error
    if not np.isfinite(samples_TC).all():
        msg = (
            "the recording cannot be read (it has samples that are no numbers); give a whole Ogg, FLAC, MP3 or WAV file"
        )
        raise ModelError(msg)
    return samples_TC.mean(axis=1), rate
