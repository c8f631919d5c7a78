"""Audio files of every kind become text, or end in one sentence."""

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.workloads.speech_recognition.listening import LONGEST, transcribe

RATE = 16_000


def _tone(seconds: float, rate: int = RATE) -> NDArray[np.float64]:
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate)


def _file(samples: NDArray[np.float64], rate: int = RATE, kind: str = "WAV", coding: str = "PCM_16") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format=kind, subtype=coding)
    return stream.getvalue()


def _read(samples_T: NDArray[np.int16]) -> str:
    """Stand for a model: tell the length in tenths of a second."""
    return f"{len(samples_T) / RATE:.1f}"


@pytest.mark.parametrize(
    "content",
    [
        _file(_tone(1.0)),
        _file(_tone(1.0, 8000), 8000),
        _file(_tone(1.0, 44_100), 44_100),
        _file(_tone(1.0), coding="PCM_24"),
        _file(_tone(1.0), coding="FLOAT"),
        _file(np.stack([_tone(1.0)] * 2, axis=1)),
        _file(_tone(1.0), kind="FLAC"),
        _file(np.clip(9 * _tone(1.0), -1, 1)),
    ],
    ids=["plain", "8 kHz", "44 kHz", "24 bits", "floats", "stereo", "flac", "clipped"],
)
def test_every_kind_of_file_is_heard(content: bytes) -> None:
    """The model gets a second of 16 kHz, whatever the file's rate, width and channels."""
    assert transcribe(content, _read) == "1.0"


def test_silence_is_an_empty_text() -> None:
    """A silent recording is no error, and the model is not asked."""
    assert transcribe(_file(np.zeros(RATE)), _read) == ""


def test_ten_minutes_are_read_in_pieces() -> None:
    """The texts of the pieces are joined, and together they hear everything."""
    speech = _tone(600.0)
    speech[:: 8 * RATE] = 0
    pieces = list(map(int, transcribe(_file(speech), lambda samples_T: str(len(samples_T))).split()))
    assert len(pieces) >= 600 / LONGEST
    assert sum(pieces) == pytest.approx(600 * RATE, abs=100)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is of no known kind"),
        (b"no recording at all", "is of no known kind"),
        (_file(_tone(1.0))[:9000], "the file is cut off"),
        (_file(_tone(0.02)), "give one of at least 0.1 s"),
        (_file(np.full(RATE, np.nan), coding="FLOAT"), "samples that are no numbers"),
        (_file(_tone(3700.0, 4000), 4000), "the recording lasts 62 minutes; send at most 60 minutes at once"),
    ],
    ids=["empty", "text", "truncated", "short", "no numbers", "an hour"],
)
def test_what_cannot_be_heard_ends_in_a_sentence(content: bytes, sentence: str) -> None:
    """The sentence says what is wrong."""
    with pytest.raises(ModelError, match=sentence):
        transcribe(content, _read)
