"""Utterances: recordings with transcripts, on disk and decoded."""

from pathlib import Path

import numpy as np
import pytest
from data_samples import built_stamps_small, digest_of
from utterance_samples import RATE, audio_file, tone, unseen_utterances, write_utterances

from stillhouse.models.data.sound.audio import load_recordings
from stillhouse.models.data.sound.utterances import KEPT, LOUDEST, load_unseen_voice, load_utterances, utterance_of
from stillhouse.models.errors import ModelError
from stillhouse.tasks.data.format.dataset import Utterance, fault_of, read_description, read_manifest
from stillhouse.tasks.data.format.layout import is_spoken, is_transcribed


def test_a_split_of_utterances_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Samples, words, languages, voices and groups come in the order of the shards."""
    folder = write_utterances(tmp_path / "tones")
    found = load_utterances(folder, "gate")
    assert len(found) == 2
    assert found.texts == ["a" * 7, "a" * 8]
    assert (found.languages, found.voices) == (["fr", "fr"], ["tones-fr", "tones-fr"])
    assert found.labels_N.tolist() == [6, 7]
    assert [len(samples_T) for samples_T in found.samples] == pytest.approx([0.56 * RATE, 0.57 * RATE], abs=40)
    assert {row["language"] for row in read_manifest(folder)} == {"fr"}
    described = read_description(folder)
    assert is_transcribed(described)
    assert not is_spoken(described)


def test_an_unseen_voice_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    """A dataset has one or none; the file is pinned as every other."""
    assert len(load_unseen_voice(write_utterances(tmp_path / "without"))) == 0
    folder = write_utterances(tmp_path / "tones", unseen_utterances())
    assert load_unseen_voice(folder).texts == ["b b", "b ba"]
    assert load_unseen_voice(folder).voices == ["other-fr", "other-fr"]
    digest = digest_of(folder)
    assert fault_of(folder, digest) == ""
    (folder / "unseen_voice.parquet").write_bytes(b"another voice")
    assert fault_of(folder, digest) == "unseen_voice.parquet is missing, truncated or altered"


def test_other_data_say_that_they_have_no_transcripts(tmp_path: Path) -> None:
    """Spoken captions have no transcripts, utterances have no gallery, and splits are spelled out."""
    folder = write_utterances(tmp_path / "tones")
    with pytest.raises(ModelError, match=r"^stamps_small has no transcripts; name a dataset of recordings with"):
        load_utterances(built_stamps_small(), "gate")
    with pytest.raises(ModelError, match=r"^tones has no split 'sealed'; use one of calibration, gate, test"):
        load_utterances(folder, "sealed")
    with pytest.raises(ModelError, match=r"^tones has no spoken labels; name a dataset with them"):
        load_recordings(folder, "gate")


def test_quiet_edges_go_and_a_tenth_of_a_second_stays() -> None:
    """What is quieter than a fiftieth of the peak is no sound; the loudest sample is the same in every utterance."""
    silent = np.zeros(RATE)
    hum = tone(1, height=0.001)
    said_T = utterance_of(audio_file(np.concatenate([hum, tone(1, height=0.1), silent])))
    assert said_T.dtype == np.int16
    assert len(said_T) == pytest.approx((1 + 2 * KEPT) * RATE, abs=20)
    assert np.abs(said_T).max() == LOUDEST


@pytest.mark.parametrize(("rate", "subtype", "channels"), [(8_000, "PCM_16", 1), (16_000, "PCM_24", 1),
    (44_100, "PCM_16", 2), (48_000, "FLOAT", 1), (22_050, "PCM_U8", 2)])  # fmt: skip
def test_every_rate_and_width_sounds_the_same(rate: int, subtype: str, channels: int) -> None:
    """A tone is that tone at 16 kHz, mono."""
    content = audio_file(np.stack([tone(1, rate)] * channels, 1), rate, subtype=subtype)
    spectrum = np.abs(np.fft.rfft(utterance_of(content)[:RATE], RATE))
    assert spectrum.argmax() == 440


def test_a_long_recording_is_whole() -> None:
    """Nothing here cuts: three minutes are three minutes."""
    assert len(utterance_of(audio_file(tone(180, 8_000), 8_000))) == 180 * RATE


def _nan() -> bytes:
    samples_T = tone(1)
    samples_T[100] = np.nan
    return audio_file(samples_T, subtype="FLOAT")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"no recording", "cannot be read"),
        (audio_file(tone(1))[:-900], "cut off: 900 of its bytes are missing"),
        (audio_file(tone(1), kind="FLAC")[:-900], "cannot be read|ends after"),
        (audio_file(tone(1), kind="OGG")[:-90], "cut off: 90 of its bytes are missing"),
        (audio_file(np.zeros(RATE)), "silent"),
        (audio_file(np.zeros(0)), "lasts 0.00 s"),
        (audio_file(tone(0.05)), "lasts 0.05 s"),
        (_nan(), "samples that are no numbers"),
    ],
)
def test_what_cannot_be_heard_is_refused_by_name(content: bytes, reason: str) -> None:
    """Each fault has its sentence."""
    with pytest.raises(ModelError, match=reason):
        utterance_of(content)


def test_a_faulty_recording_of_a_dataset_is_named(tmp_path: Path) -> None:
    """The sentence begins with the id."""
    silent = Utterance("quiet one", audio_file(np.zeros(RATE)), "a", 19, "fr", "tones-fr")
    folder = write_utterances(tmp_path / "tones", also={"gate": [silent]})
    with pytest.raises(ModelError, match=r"^quiet one: the recording is silent"):
        load_utterances(folder, "gate")
