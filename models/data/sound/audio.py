"""Read recordings from disk and decode them to waveforms.

Recordings stay encoded in memory until they are needed. The data pull has checked their digests.
"""

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.data.sound.first_sound import SILENCE, speech_start
from stillhouse.models.errors import ModelError

SAMPLE_RATE = 16_000
"""Sample rate of a waveform in hertz."""
LONGEST, SHORTEST = 4.0, 0.1
"""Longest and shortest waveform in seconds. A longer one is cut off, a shorter one is refused."""
LISTENED = 60.0
"""Speech is searched in this many first seconds of a recording. The rest is not decoded."""
BEGUN, BEFORE = 2.0, 0.25
"""Seconds. If speech begins later than the first value, the waveform begins the second value before the speech."""
RATES, MOST_CHANNELS = range(4_000, 192_001), 8
"""Accepted sample rates in hertz, and largest accepted number of channels."""
LOUDEST = 1e6
"""Largest accepted magnitude of a sample. Full scale is 1."""
BLOCK = 1 << 20
"""Samples decoded at once, over all channels."""
STARTS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"\xff")
"""First bytes of the accepted file types: WAV, FLAC, Ogg and MP3."""
KINDS = "give a whole Ogg, FLAC, MP3 or WAV file"


@dataclass(frozen=True)
class Recordings:
    """Spoken captions of one split, in the encoding of their publisher."""

    labels_N: NDArray[np.int64]
    """Class indices, the same as in the gallery and the captions."""
    languages: list[str]
    audio: list[bytes]
    """Whole audio files. `waveform_of` decodes them."""

    def __len__(self) -> int:
        """Count the recordings."""
        return len(self.labels_N)


def load_recordings(folder: Path, split: str) -> Recordings:
    """Read every shard of a split of a materialised dataset.

    Raises:
        ModelError: the dataset has no recordings of labels or no such split.
    """
    import pyarrow.parquet as pq

    description = describe(folder)
    if "sample_rates" not in description or "transcripts" in description:
        msg = f"{description['name']} has no spoken labels; name a dataset with them in the recipe's data.dataset"
        raise ModelError(msg)
    if split not in description["splits"]:
        msg = f"{description['name']} has no split {split!r}; use one of {', '.join(description['splits'])}"
        raise ModelError(msg)
    table = pq.read_table([folder / shard["path"] for shard in description["splits"][split]["shards"]])
    return Recordings(
        labels_N=table["label"].to_numpy().astype(np.int64),
        languages=table["language"].to_pylist(),
        audio=table["audio"].to_pylist(),
    )


def waveform_of(content: bytes) -> NDArray[np.float32]:
    """Decode an audio file to samples_T: mono, `SAMPLE_RATE`, original loudness, at most `LONGEST` seconds.

    The samples are the first ones of the file, unless speech begins later than `BEGUN`.

    Raises:
        ModelError: the file cannot be read, is silent or too short.
    """
    samples_T, rate = decode(content, LISTENED)
    if len(samples_T) < SHORTEST * rate:
        msg = f"the recording lasts {len(samples_T) / rate:.2f} s; give one of at least {SHORTEST} s"
        raise ModelError(msg)
    if np.abs(samples_T).max() <= SILENCE:
        msg = "the recording is silent (its peak is below -60 dBFS); record it again, louder"
        raise ModelError(msg)
    resampled_T = resample(_with_speech(samples_T, rate), rate)
    return np.ascontiguousarray(resampled_T[: int(LONGEST * SAMPLE_RATE)], np.float32)


def resample(samples_T: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return samples of `SAMPLE_RATE`, given samples of another rate in hertz.

    Raises:
        ModelError: SciPy is not installed. Samples of `SAMPLE_RATE` do without it.
    """
    if rate == SAMPLE_RATE:
        return samples_T
    try:
        from scipy.signal import resample_poly
    except ModuleNotFoundError as error:
        msg = (
            f"recordings of {rate:,} Hz need SciPy, which the light installation does not have; convert them to "
            f"{SAMPLE_RATE:,} Hz, or install all with `make install`"
        )
        raise ModelError(msg) from error
    common = math.gcd(SAMPLE_RATE, rate)
    resampled_T: NDArray[np.float32] = resample_poly(samples_T, SAMPLE_RATE // common, rate // common)
    return resampled_T


def decode(content: bytes, longest: float) -> tuple[NDArray[np.float32], int]:
    """Decode the first `longest` seconds of an audio file. Returns samples_T, mono, and their rate in hertz.

    Raises:
        ModelError: the file cannot be read.
    """
    try:
        check_kind(content)
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            _check_format(file.samplerate, file.channels)
            return _mono(file, math.ceil(longest * file.samplerate)), int(file.samplerate)
    except ModelError:
        raise
    except Exception as error:  # a malicious file can raise any error
        raise unreadable(error) from error


def unreadable(error: Exception) -> ModelError:
    """Return the sentence for a decoder's error, without the address of the file in memory."""
    reason = getattr(error, "error_string", None) or error
    return ModelError(f"the recording cannot be read ({' '.join(str(reason).split())[:200]}); {KINDS}")


def check_kind(content: bytes) -> None:
    """Refuse files of unsupported types before a decoder opens them."""
    if not content.startswith(STARTS):
        msg = f"the recording cannot be read (it is of no known kind); {KINDS}"
        raise ModelError(msg)


def _check_format(rate: int, channels: int) -> None:
    if rate not in RATES or channels > MOST_CHANNELS:
        wanted = f"{RATES.start:,} to {RATES.stop - 1:,} Hz and at most {MOST_CHANNELS} channels"
        msg = f"the recording has {rate:,} Hz and {channels} channels; give one of {wanted}"
        raise ModelError(msg)


def _mono(file: soundfile.SoundFile, samples: int) -> NDArray[np.float32]:
    """Decode the first `samples` samples, block by block, as the mean of the channels."""
    blocks = [np.zeros(0, np.float32)]
    while samples and len(block_TC := file.read(min(samples, BLOCK // file.channels), "float32", always_2d=True)):
        if not (np.abs(block_TC) <= LOUDEST).all():
            msg = f"the recording cannot be read (it has samples that are no numbers); {KINDS}"
            raise ModelError(msg)
        blocks.append(block_TC.mean(axis=1))
        samples -= len(block_TC)
    return np.concatenate(blocks)


def _with_speech(samples_T: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Cut `LONGEST` seconds out of a recording, from its start or from shortly before speech begins."""
    length = math.ceil(LONGEST * rate)
    begins = speech_start(samples_T, rate) if len(samples_T) > length else 0.0
    start = 0 if begins <= BEGUN else int((begins - BEFORE) * rate)
    return samples_T[start : start + length]
