"""Waveforms of real recordings, and what is refused."""

import io
from itertools import count

import numpy as np
import pytest
import soundfile
from data_samples import built_digits, built_stamps_small
from numpy.typing import NDArray

from stillhouse.models.data.images import load_gallery, load_images
from stillhouse.models.data.sound.audio import LISTENED, LONGEST, SAMPLE_RATE, decode, load_recordings, waveform_of
from stillhouse.models.data.sound.waves import LENGTH, LOUDEST, trim_silence, waves_of
from stillhouse.models.errors import ModelError


def _file(samples_TC: NDArray[np.float64], rate: int = 44_100) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples_TC, rate, format="WAV", subtype="FLOAT")
    return stream.getvalue()


def _tone(seconds: float, rate: int = 44_100, height: float = 0.5) -> NDArray[np.float64]:
    return height * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def _with_rate(rate: int) -> bytes:
    content = bytearray(_file(_tone(1)))
    content[24:28] = rate.to_bytes(4, "little")
    return bytes(content)


def _lying(claimed: int) -> bytes:
    """A WAV file that says it has more bytes of samples than there are."""
    content = bytearray(_file(_tone(1, 16_000), 16_000))
    place = content.index(b"data") + 4
    content[place : place + 4] = claimed.to_bytes(4, "little")
    return bytes(content)


@pytest.mark.parametrize("claimed", [4_000_000_000, 2**32 - 1, 70_000])
def test_a_header_that_lies_about_the_length_is_not_believed(claimed: int) -> None:
    """What is there is read, and nothing else."""
    assert len(waveform_of(_lying(claimed))) == 16_000


@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "DOUBLE"), ("WAV", "ULAW"),
    ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 2])
def test_every_kind_of_file_sounds_the_same(kind: str, subtype: str, channels: int) -> None:
    """A tone is that tone, whatever its file, its width and its number of channels."""
    stream = io.BytesIO()
    soundfile.write(stream, np.stack([_tone(1, 48_000)] * channels, 1), 48_000, format=kind, subtype=subtype)
    found_T = waveform_of(stream.getvalue())
    spectrum = np.abs(np.fft.rfft(found_T[:16_000]))
    assert spectrum.argmax() == 440
    assert spectrum[440] / 8_000 == pytest.approx(0.5, abs=0.1)


def test_a_flac_of_hours_is_heard_for_a_minute() -> None:
    """A small file of hours of silence costs what a minute does."""
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(3_600 * 8_000, np.int16), 8_000, format="FLAC")
    assert len(decode(stream.getvalue(), LISTENED)[0]) == LISTENED * 8_000
    with pytest.raises(ModelError, match="silent"):
        waveform_of(stream.getvalue())


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


def _speech(seconds: float = 1.0, height: float = 0.3, rate: int = 16_000) -> NDArray[np.float64]:
    return _tone(seconds, rate, height)


def _silence(seconds: float, rate: int = 16_000) -> NDArray[np.float64]:
    return np.zeros(round(seconds * rate))


def _click(height: float = 1.0) -> NDArray[np.float64]:
    return np.full(160, height)


def _hiss(seconds: float, height: float = 0.02) -> NDArray[np.float64]:
    return height * np.random.default_rng(1).uniform(-1, 1, round(seconds * 16_000))


HEARD = {
    "speech": [_speech()],
    "silence before": [_silence(1), _speech()],
    "speech late in four seconds": [_silence(3.7), _speech()],
    "five seconds of silence before": [_silence(5), _speech()],
    "half a minute of silence before": [_silence(30), _speech(), _silence(20)],
    "five seconds of hiss before": [_hiss(5), _speech()],
    "quiet speech after silence": [_silence(6), _speech(height=0.01)],
    "a click and a pause": [_click(), _silence(2.5), _speech()],
    "a click and a short pause": [_click(), _silence(1.5), _speech()],
    "a loud click and quiet speech": [_click(), _silence(1), _speech(height=0.01)],
    "a click long before": [_click(), _silence(7), _speech()],
    "two clicks": [_click(), _silence(1), _click(0.5), _silence(1.5), _speech(height=0.1)],
    "clicks before and behind": [_click(), _silence(2.2), _speech(), _silence(1), _click()],
}


@pytest.mark.parametrize("case", HEARD)
def test_speech_is_heard_wherever_it_is(case: str) -> None:
    """After silence, hiss or clicks the whole second of speech is heard, as loud as can be."""
    wave_T = waves_of([_file(np.concatenate(HEARD[case]), 16_000)])[0].astype(int)
    tone = np.abs(np.fft.rfft(wave_T)[880]) / (LOUDEST * 16_000 / 2)  # 440 Hz, in two seconds
    assert tone > 0.9, tone
    assert np.abs(wave_T).max() == LOUDEST


@pytest.mark.parametrize(
    "samples_T",
    [
        np.concatenate([_click(0.5), _silence(0.5), _speech()]),
        np.concatenate([_speech(0.5), _silence(0.5), _click(0.5)]),
        np.concatenate([_speech(0.3), _silence(0.5), _speech(3)]),
        np.concatenate([_silence(1.9), _speech(6)]),
        np.concatenate([_click(), _silence(0.5)]),
    ],
)
def test_where_speech_is_heard_already_nothing_changes(samples_T: NDArray[np.float64]) -> None:
    """A recording whose speech fits behind its first sound is cut at that sound, be it a click."""
    waveform_T = waveform_of(_file(samples_T, 16_000))
    assert np.allclose(waveform_T, samples_T[: int(LONGEST * SAMPLE_RATE)], atol=1e-6)
    loud = np.flatnonzero(np.abs(waveform_T) > 0.02 * np.abs(waveform_T).max())
    assert len(trim_silence(waveform_T)) == min(loud[-1] + 1 - loud[0], LENGTH)


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
        (_file(np.full(44_100, np.inf)), r"^the recording cannot be read \(it has samples that are no numbers\)"),
        (_file(np.full(44_100, 1e30)), r"^the recording cannot be read \(it has samples that are no numbers\)"),
        (_file(np.zeros(16_000 * 61), 16_000), r"^the recording is silent"),
        (_file(_tone(1, 1_000), 1_000), r"^the recording has 1,000 Hz and 1 channels; give one of 4,000 to 192,000 Hz"),
        (_file(_tone(0.1, 768_000), 768_000), r"^the recording has 768,000 Hz and 1 channels"),
        (_file(np.ones((1_600, 9)), 16_000), r"^the recording has 16,000 Hz and 9 channels; .* at most 8 channels$"),
        (_with_rate(0), r"^the recording "),
        (_with_rate(0xFFFFFFFF), r"^the recording "),
        (b"FORM\0\0\0\0AIFF", r"^the recording cannot be read \(it is of no known kind\); give a whole Ogg"),
        (_file(_tone(1))[:30], r"^the recording cannot be read"),
    ],
    ids=count(),  # a WAV file has the time of writing in it, and two workers would not agree on its name
)
def test_what_is_no_speech_is_refused(content: bytes, sentence: str) -> None:
    """Garbage, silence and clicks end in a sentence with the remedy."""
    with pytest.raises(ModelError, match=sentence):
        waveform_of(content)


def test_the_other_kind_of_dataset_is_named() -> None:
    """Images have no recordings and no gallery, recordings are no images, and splits are spelled out."""
    with pytest.raises(ModelError, match=r"^digits has no spoken labels; name a dataset with them in the recipe's"):
        load_recordings(built_digits(), "train")
    with pytest.raises(ModelError, match=r"^digits has no gallery; name a dataset with a gallery in the recipe's"):
        load_gallery(built_digits())
    with pytest.raises(ModelError, match=r"^the splits of stamps_small hold recordings; name a dataset of images in"):
        load_images(built_stamps_small(), "train")
    with pytest.raises(ModelError, match=r"^stamps_small has no split 'exam'; use one of calibration, gate,"):
        load_recordings(built_stamps_small(), "exam")
