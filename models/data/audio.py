"""Recordings on disk -> waveforms: original bytes, decoded when asked for. The pull checked their digests."""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
from numpy.typing import NDArray

from stillhouse.models.data.first_sound import SILENCE, speech_start
from stillhouse.models.data.images import describe
from stillhouse.models.errors import ModelError

SAMPLE_RATE = 16_000
"""Hertz of a waveform."""
LONGEST, SHORTEST = 4.0, 0.1
"""Seconds of a waveform: the rest is cut off, and less is refused."""
LISTENED = 60.0
"""Seconds of a recording in which speech is looked for; what comes after them is not decoded."""
BEGUN, BEFORE = 2.0, 0.25
"""If speech begins later than this, a waveform begins this long before it, in seconds."""
RATES, MOST_CHANNELS = range(4_000, 192_001), 8
"""Hertz and channels of a recording that is read."""
LOUDEST = 1e6
"""No sample is larger; full scale is 1."""
BLOCK = 1 << 20
"""Samples that are decoded at once, of all channels."""
STARTS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"\xff")
"""Of the files that are read: WAV, FLAC, Ogg and MP3."""
KINDS = "give a whole Ogg, FLAC, MP3 or WAV file"


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

    They are the first ones, unless speech begins later than `BEGUN`.

    Raises:
        ModelError: it cannot be read, is silent or too short.
    """
    from scipy.signal import resample_poly

    samples_T, rate = decode(content, LISTENED)
    if len(samples_T) < SHORTEST * rate:
        msg = f"the recording lasts {len(samples_T) / rate:.2f} s; give one of at least {SHORTEST} s"
        raise ModelError(msg)
    if np.abs(samples_T).max() <= SILENCE:
        msg = "the recording is silent (its peak is below -60 dBFS); record it again, louder"
        raise ModelError(msg)
    kept_T = _with_speech(samples_T, rate)
    common = math.gcd(SAMPLE_RATE, rate)
    resampled_T = resample_poly(kept_T, SAMPLE_RATE // common, rate // common)
    return np.ascontiguousarray(resampled_T[: int(LONGEST * SAMPLE_RATE)], np.float32)


def decode(content: bytes, longest: float) -> tuple[NDArray[np.float32], int]:
    """Decode the first `longest` seconds of an audio file; returns samples_T, mono, and their rate in hertz.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        _check_kind(content)
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_format(file.samplerate, file.channels)
            return _mono(file, math.ceil(longest * file.samplerate)), int(file.samplerate)
    except ModelError:
        raise
    except Exception as error:  # a hostile file fails in many ways
        msg = f"the recording cannot be read ({error}); {KINDS}"
        raise ModelError(msg) from error


def _check_kind(content: bytes) -> None:
    """Keep files away from the decoders of kinds that nobody records speech in."""
    if not content.startswith(STARTS):
        msg = f"the recording cannot be read (it is of no known kind); {KINDS}"
        raise ModelError(msg)


def _check_format(rate: int, channels: int) -> None:
    if rate not in RATES or channels > MOST_CHANNELS:
        wanted = f"{RATES.start:,} to {RATES.stop - 1:,} Hz and at most {MOST_CHANNELS} channels"
        msg = f"the recording has {rate:,} Hz and {channels} channels; give one of {wanted}"
        raise ModelError(msg)


def _mono(file: soundfile.SoundFile, samples: int) -> NDArray[np.float32]:
    """Decode so many samples_T, block by block, as the mean of the channels."""
    blocks = [np.zeros(0, np.float32)]
    while samples and len(block_TC := file.read(min(samples, BLOCK // file.channels), "float32", always_2d=True)):
        if not (np.abs(block_TC) <= LOUDEST).all():
            msg = f"the recording cannot be read (it has samples that are no numbers); {KINDS}"
            raise ModelError(msg)
        blocks.append(block_TC.mean(axis=1))
        samples -= len(block_TC)
    return np.concatenate(blocks)


def _with_speech(samples_T: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Cut `LONGEST` seconds out of a recording: the first ones, or those from shortly before speech begins."""
    length = math.ceil(LONGEST * rate)
    begins = speech_start(samples_T, rate) if len(samples_T) > length else 0.0
    start = 0 if begins <= BEGUN else int((begins - BEFORE) * rate)
    return samples_T[start : start + length]
