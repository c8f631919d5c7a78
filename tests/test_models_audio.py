"""Waveforms of real recordings, and what is refused."""

import io

import numpy as np
import pytest
import soundfile
from data_samples import built_digits, built_stamps_small
from numpy.typing import NDArray

from models.errors import ModelError
from models.inputs.audio import LONGEST, SAMPLE_RATE, load_recordings, waveform_of
from models.inputs.gallery import load_gallery
from models.inputs.images import load_images


def _file(samples_TC: NDArray[np.float64], rate: int = 44_100) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples_TC, rate, format="WAV", subtype="FLOAT")
    return stream.getvalue()


def _tone(seconds: float, rate: int = 44_100, height: float = 0.5) -> NDArray[np.float64]:
    return height * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def test_a_real_recording_keeps_its_length_and_peak() -> None:
    """A recording at 44.1 kHz comes out at 16 kHz, as long and about as loud as it was."""
    content = load_recordings(built_stamps_small(), "gate").audio[0]
    original_TC, rate = soundfile.read(io.BytesIO(content), always_2d=True)
    waveform_T = waveform_of(content)
    assert rate == 44_100
    assert waveform_T.dtype == np.float32
    assert len(waveform_T) == -(-len(original_TC) * 160 // 441)
    assert np.abs(waveform_T).max() == pytest.approx(np.abs(original_TC.mean(axis=1)).max(), rel=0.1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_a_tone_is_the_same_tone_at_any_rate(rate: int) -> None:
    """A tone of 440 Hz is that tone at 16 kHz, wherever it came from, but for the filter's edges."""
    waveform_T = waveform_of(_file(_tone(1, rate), rate))
    np.testing.assert_allclose(waveform_T[500:-500], _tone(1, SAMPLE_RATE)[500:-500], atol=0.01)


def test_channels_are_averaged() -> None:
    """Two channels become their mean."""
    stereo_TC = np.stack([_tone(1), np.zeros(44_100)], axis=1)
    assert np.abs(waveform_of(_file(stereo_TC))).max() == pytest.approx(0.25, rel=0.05)


def test_a_long_recording_is_cut() -> None:
    """What comes after four seconds is left out."""
    assert len(waveform_of(_file(_tone(10)))) == LONGEST * SAMPLE_RATE


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"^the recording cannot be read \(.*\); give a whole Ogg, FLAC, MP3 or WAV file$"),
        (b"OggS but no more", r"^the recording cannot be read \(.*\); give a whole"),
        (_file(np.zeros(44_100)), r"^the recording is silent \(its peak is below -60 dBFS\); record it again, louder$"),
        (_file(_tone(1, height=0.0009)), r"^the recording is silent"),
        (_file(_tone(0.05)), r"^the recording lasts 0\.05 s; give one of at least 0\.1 s$"),
        (_file(np.zeros(0)), r"^the recording lasts 0\.00 s"),
        (_file(np.full(44_100, np.nan)), r"^the recording cannot be read \(it has samples that are no numbers\)"),
    ],
)
def test_what_is_no_speech_is_refused(content: bytes, sentence: str) -> None:
    """Garbage, silence and clicks end in a sentence with the remedy."""
    with pytest.raises(ModelError, match=sentence):
        waveform_of(content)


def test_the_other_kind_of_dataset_is_named() -> None:
    """Images have no recordings and no gallery, recordings are no images, and roles are spelled out."""
    with pytest.raises(ModelError, match=r"^digits has no recordings; name a dataset with recordings in the recipe's"):
        load_recordings(built_digits(), "train")
    with pytest.raises(ModelError, match=r"^digits has no gallery; name a dataset with a gallery in the recipe's"):
        load_gallery(built_digits())
    with pytest.raises(ModelError, match=r"^the roles of stamps_small hold recordings; name a dataset of images in"):
        load_images(built_stamps_small(), "train")
    with pytest.raises(ModelError, match=r"^stamps_small has no role 'test'; use one of calibration, gate,"):
        load_recordings(built_stamps_small(), "test")
