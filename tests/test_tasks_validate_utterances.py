"""Great Expectations on real utterances, whole and spoilt: recordings, texts, and the unseen voice."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from data_samples import Change, built_stamps_speech_small, cell, make_house_of, make_job, pulled, refused, repin
from numpy.typing import NDArray
from utterance_samples import audio_file, tone

from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.stages.validate import validate_data

SHARD = "gate-000.parquet"
UNSEEN = "unseen_voice.parquet"
Samples = NDArray[np.float64]


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the small utterances, to be spoilt, into a house of their own."""
    return make_house_of(built_stamps_speech_small(), tmp_path, monkeypatch)


def heard_again(change: Callable[[Samples, int], bytes]) -> Callable[[int], Change]:
    """Make changes that decode a real recording and store it in another way."""

    def at(row: int) -> Change:
        def changed(table: pa.Table) -> pa.Table:
            samples_TC, rate = soundfile.read(io.BytesIO(table["audio"][row].as_py()), always_2d=True)
            return cell("audio", row, change(samples_TC.mean(axis=1), rate))(table)

        return changed

    return at


def without_numbers(samples_T: Samples, rate: int) -> bytes:
    """Store a recording as floats, one of them no number."""
    return audio_file(np.where(np.arange(len(samples_T)) == 1_000, np.nan, samples_T), rate, subtype="FLOAT")


overdriven = heard_again(lambda samples_T, rate: audio_file(np.clip(200 * samples_T, -1, 1), rate))
silenced = heard_again(lambda samples_T, rate: audio_file(0 * samples_T, rate))
not_a_number = heard_again(without_numbers)
cut_off = heard_again(lambda samples_T, rate: audio_file(samples_T, rate)[:-5_000])
telephone = heard_again(lambda samples_T, _rate: audio_file(samples_T[::5], 8_000))
studio = heard_again(lambda samples_T, rate: audio_file(samples_T, rate, subtype="PCM_24"))
stereo = heard_again(lambda samples_T, rate: audio_file(np.stack([samples_T, samples_T], 1), rate))


def spoil(dataset: Path, file: str, *changes: Change) -> None:
    """Change a file of a dataset, and pin it as it then is."""
    table = pq.read_table(dataset / file)
    for change in changes:
        table = change(table)
    pq.write_table(table, dataset / file)
    repin(dataset)


def test_real_utterances_pass(dataset: Path, tmp_path: Path) -> None:
    """Recordings and texts of all splits, and those of the unseen voice, meet every expectation."""
    job = make_job(
        tmp_path / "job", Data(dataset="stamps_speech_small"), {"data": pulled(dataset, tmp_path / "pulled")}
    )
    found = validate_data(job)
    assert found["passed"] == found["expectations"] == 70


def test_each_fault_of_a_recording_is_counted(dataset: Path, tmp_path: Path) -> None:
    """Empty, unreadable, cut off, without numbers, silent, clipped, too short or long: each is named with its rows."""
    whole = pq.read_table(dataset / SHARD)["audio"][4].as_py()
    changes = [cell("audio", 0, b""), cell("audio", 1, b"OggS"), cell("audio", 4, whole[:-300])]
    changes += [cut_off(2), not_a_number(3), silenced(5), overdriven(6)]
    changes += [cell("audio", 7, audio_file(tone(0.15))), cell("audio", 8, audio_file(tone(600, 8_000), 8_000))]
    changes += [cell("audio", 9, audio_file(tone(2, 22_050), 22_050))]
    spoil(dataset, SHARD, *changes)
    failures, sentence = refused(dataset, tmp_path)
    assert {
        "utterances seconds expect_column_values_to_not_be_null 5",
        "utterances peak expect_column_values_to_be_between 1",
        "utterances clipped expect_column_values_to_be_between 1",
        "utterances seconds expect_column_values_to_be_between 2",
        "utterances sample_rate expect_column_values_to_be_in_set 2",
        "utterances sha256 manifest_sha256 expect_column_pair_values_to_be_equal 10",
    } <= failures, failures
    assert "utterances clipped expect_column_values_to_be_between (1 of" in sentence


def test_each_fault_of_a_text_is_counted(dataset: Path, tmp_path: Path) -> None:
    """Empty, with a digit, a capital, a strange letter, or much too long: each is named with its rows."""
    changes = [cell("text", 0, ""), cell("text", 1, None), cell("text", 2, "les 3 canards"), cell("text", 3, "Un âne")]
    changes += [cell("text", 4, "un ж"), cell("text", 5, "bien trop de mots " * 20)]
    changes += [cell("language", 6, "tlh"), cell("voice", 7, "nobody"), cell("label", 8, 1_000)]
    spoil(dataset, SHARD, *changes)
    failures, _ = refused(dataset, tmp_path)
    assert {
        "utterances letters expect_column_values_to_be_between 2",
        "utterances normalised expect_column_values_to_be_in_set 3",
        "utterances unknown_letters expect_column_values_to_be_in_set 3",
        "utterances letters_per_second expect_column_values_to_be_between 1",
        "utterances language expect_column_values_to_be_in_set 1",
        "utterances language manifest_language expect_column_pair_values_to_be_equal 1",
        "utterances voice expect_column_values_to_be_in_set 1",
        "utterances label expect_column_values_to_be_in_set 1",
        "utterances label manifest_label expect_column_pair_values_to_be_equal 1",
    } <= failures, failures


def test_a_telephone_a_studio_and_two_channels_are_fine(dataset: Path, tmp_path: Path) -> None:
    """Recordings of 8 kHz, of 24 bits and in stereo differ from the manifest's digests, and in nothing else."""
    spoil(dataset, SHARD, telephone(0), studio(1), stereo(2))
    failures, _ = refused(dataset, tmp_path)
    assert failures == {"utterances sha256 manifest_sha256 expect_column_pair_values_to_be_equal 3"}


def test_what_training_must_not_hear_is_found(dataset: Path, tmp_path: Path) -> None:
    """A judged sentence or group that training has too is refused on both sides."""
    heard = pq.read_table(dataset / "train-000.parquet")
    text, label = heard["text"][0].as_py(), heard["label"][1].as_py()
    both = {name: heard[name].to_pylist().count(value) for name, value in (("text", text), ("label", label))}
    spoil(dataset, SHARD, cell("text", 0, text), cell("label", 1, label))
    failures, _ = refused(dataset, tmp_path)
    assert {
        f"utterances text_splits expect_column_values_to_be_in_set {1 + both['text']}",
        f"utterances group_splits expect_column_values_to_be_in_set {1 + both['label']}",
    } <= failures, failures


def test_an_unseen_voice_is_unseen(dataset: Path, tmp_path: Path) -> None:
    """A voice, a recording or a sentence of a split is none of the unseen voice, and its files keep the same limits."""
    heard = pq.read_table(dataset / "train-000.parquet")
    changes = [cell(name, row, heard[name][0].as_py()) for row, name in enumerate(("voice", "audio", "text"))]
    spoil(dataset, UNSEEN, *changes, silenced(3), cell("text", 4, "4 patos"))
    failures, _ = refused(dataset, tmp_path)
    assert {
        "unseen_voice voice_rows expect_column_values_to_be_in_set 1",
        "unseen_voice sha256_rows expect_column_values_to_be_in_set 1",
        "unseen_voice text_splits expect_column_values_to_be_in_set 1",
        "unseen_voice peak expect_column_values_to_be_between 1",
        "unseen_voice normalised expect_column_values_to_be_in_set 1",
    } <= failures, failures


@pytest.mark.parametrize(
    ("file", "failure"),
    [
        (UNSEEN, "unseen_voice expect_table_row_count_to_equal None"),
        (SHARD, "shards schema expect_column_values_to_be_in_set 1"),
    ],
)
def test_an_unreadable_file_is_named(dataset: Path, tmp_path: Path, file: str, failure: str) -> None:
    """A file that is no Parquet file is a failed expectation, not a crash."""
    shutil.copy(dataset / "LICENSE.txt", dataset / file)
    repin(dataset)
    failures, _ = refused(dataset, tmp_path)
    assert failure in failures
