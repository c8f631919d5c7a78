"""The utterances of stamps and telephone prompts: what is in the dataset, what is left out, and why."""

import io
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from data_samples import built_dataset, built_stamps_speech_small, quiet
from utterance_samples import audio_file, tone

from stillhouse.models.data.sound.utterances import load_unseen_voice, load_utterances
from stillhouse.models.data.transcripts import normalise_transcript
from stillhouse.tasks.data.checks.utterance_facts import fault_of_utterance, hear, letters_per_second
from stillhouse.tasks.data.format.dataset import SPLITS, read_description
from stillhouse.tasks.data.sources.speech.asterisk import ALLISON, Prompts, rows_of
from stillhouse.tasks.data.sources.speech.groups import deal_groups, group_by_sentence
from stillhouse.tasks.data.sources.speech.row import TRAIN, UNSEEN, Row
from stillhouse.tasks.data.sources.speech.selection import letters_of, select
from stillhouse.tasks.data.store.build_data import PLANS
from stillhouse.tasks.data.store.remote import list_folder

SMALL = PLANS["stamps_speech_small"]


def test_the_small_dataset_has_real_speech_in_every_split() -> None:
    """Two languages, one voice each, and a dozen recordings of a third voice; all letters are those of training."""
    folder = built_stamps_speech_small()
    described = read_description(folder)
    splits = {split: load_utterances(folder, split) for split in SPLITS}
    assert {split: len(each) for split, each in splits.items()} == {
        "train": 54, "calibration": 4, "validation": 12, "gate": 20, "test": 10
    }  # fmt: skip
    assert {voice for each in splits.values() for voice in each.voices} == {"stamps-es", "stamps-fr"}
    assert set(load_unseen_voice(folder).voices) == {"asterisk-es"}
    assert len(load_unseen_voice(folder)) == described["unseen_voice"]["rows"] == 12
    assert described["transcripts"]["letters"] == sorted(set("".join(splits["train"].texts)))
    assert all(samples_T.dtype == np.int16 for each in splits.values() for samples_T in each.samples)


def test_a_group_and_a_sentence_are_in_one_split() -> None:
    """No stamp and no sentence of a judged split is heard in training, in any language."""
    folder = built_stamps_speech_small()
    for of in ("text", "label"):
        places: dict[object, set[str]] = {}
        for path in folder.glob("*.parquet"):
            if path.name != "manifest.parquet":
                for value in pq.read_table(path)[of].to_pylist():
                    places.setdefault(value, set()).add(path.name.split("-")[0])
        assert {len(each) for each in places.values()} == {1}


def test_what_is_left_out_is_counted_by_reason() -> None:
    """The description says how many rows are left out, and why."""
    rejected = read_description(built_stamps_speech_small())["rejected"]
    assert rejected == {
        "letter without its name": 26,
        "recording of more than 30 s": 3,
        "several texts for one recording": 2,
        "text that is no speech": 6,
        "text with a digit or a symbol that is read aloud": 67,
        "text with a letter that training does not have": 7,
        "text without a letter": 2,
        "text without a recording": 4,
    }


def test_the_licence_file_has_every_publishers_notice() -> None:
    """The notices of the stamps and of the prompts stand one after the other."""
    folder = built_stamps_speech_small()
    text = (folder / "LICENSE.txt").read_text(encoding="utf-8")
    assert read_description(folder)["licence"] == "GPL-2.0-or-later AND CC-BY-SA-3.0"
    assert text.index("Bill Kendrick") < text.index("Allison Smith") < text.index("CREATIVE COMMONS PUBLIC LICENSE")


@pytest.mark.long
def test_a_second_build_has_the_same_bytes(tmp_path: Path) -> None:
    """Building the small dataset again changes no byte of any file."""
    SMALL.build(tmp_path / "again", "stamps_speech_small", quiet)
    assert list_folder(tmp_path / "again") == list_folder(built_stamps_speech_small())


@pytest.mark.long
def test_the_whole_dataset_has_eight_languages_and_two_voices_in_some() -> None:
    """French and Russian have a second voice in training; a Spanish one is in no split."""
    folder = built_dataset("stamps_speech")
    described = read_description(folder)
    counts = {split: each["count"] for split, each in described["splits"].items()}
    assert counts == {"train": 4_445, "calibration": 92, "validation": 266, "gate": 610, "test": 462}
    train = pq.read_table([folder / shard["path"] for shard in described["splits"]["train"]["shards"]])
    assert {"asterisk-fr", "asterisk-ru", "stamps-fr"} < set(train["voice"].to_pylist())
    assert "asterisk-es" not in set(train["voice"].to_pylist())
    assert described["unseen_voice"]["rows"] == 396


def test_sentences_join_names_also_through_others() -> None:
    """One shares a sentence with two, two with three: the three are a group, named by the first."""
    sentences = {"c": ["x", "y"], "a": ["z"], "b": ["y", "w"], "d": ["w"], "e": []}
    assert group_by_sentence(sentences) == {"a": "a", "b": "b", "c": "b", "d": "b", "e": "e"}


def test_groups_are_dealt_whole_by_their_shares() -> None:
    """A split gets its share of the names, or at most a group more; the rest is for training."""
    group = {f"name {number}": f"group {number // 3}" for number in range(300)}
    splits = deal_groups(group, (("test", 0.1), ("gate", 0.2)))
    assert all(len({splits[name] for name in group if group[name] == one}) == 1 for one in group.values())
    counts = Counter(splits.values())
    assert counts["test"] + counts["gate"] == pytest.approx(90, abs=3)
    assert counts["test"] == pytest.approx(30, abs=3)
    assert counts["train"] == 300 - counts["test"] - counts["gate"]


SPOKEN = audio_file(tone(2))


@pytest.mark.parametrize(
    ("audio", "text", "fault"),
    [
        (SPOKEN, "un canard", ""),
        (audio_file(tone(2, 8_000), 8_000), "un canard", ""),
        (audio_file(np.stack([tone(2, 44_100)] * 2, 1), 44_100, subtype="PCM_24"), "un canard", ""),
        (b"", "un canard", "recording that cannot be read whole"),
        (SPOKEN[:-2_000], "un canard", "recording that cannot be read whole"),
        (audio_file(np.full(32_000, np.nan), subtype="FLOAT"), "un canard", "recording that cannot be read whole"),
        (audio_file(tone(0.15)), "un", "recording of less than 0.2 s"),
        (audio_file(tone(600, 8_000), 8_000), "un canard", "recording of more than 30 s"),
        (audio_file(np.zeros(32_000)), "un canard", "silent recording"),
        (audio_file(np.clip(tone(2, height=20), -1, 1)), "un canard", "clipped recording"),
        (SPOKEN, "mot " * 20, "more text than its recording can hold"),
    ],
)
def test_the_first_fault_of_an_utterance_is_named(audio: bytes, text: str, fault: str) -> None:
    """The build has the limits of the validation, and a name for each."""
    assert fault_of_utterance(hear(audio), text) == fault


def test_spaces_are_no_letters() -> None:
    """Ten letters in two seconds are five a second; nothing is known of no sound."""
    assert letters_per_second("abcde fghij", 2.0) == 5
    assert np.isnan(letters_per_second("a", 0.0))


def row(name: str, text: str, split: str = TRAIN, pitch: float = 440, language: str = "fr") -> Row:
    """Make a row of a tone, each of its own pitch."""
    return Row(name, audio_file(tone(2, pitch=pitch)), text, language, "me", name, split)


def test_rows_exclude_each_other_in_favour_of_what_is_judged() -> None:
    """Faulty rows go; of equal recordings or sentences, the one that is not for training stays."""
    rows = [
        row("plain", "Un canard.", pitch=300),
        row("symbol", "3 canards", pitch=310),
        row("nothing", "!", pitch=320),
        row("script", "un \u0436", pitch=330),
        row("judged", "Canard !", "gate", pitch=340),
        row("same recording", "un rat", pitch=340),
        row("same sentence", "canard", pitch=350),
        row("unseen", "cran", UNSEEN, pitch=360),
        row("same as unseen", "Cran.", pitch=370),
        row("new letter", "kiwi", "test", pitch=380),
    ]
    rejected: Counter[str] = Counter()
    kept = select(rows, rejected)
    assert {each.name: each.text for each in kept} == {"plain": "un canard", "judged": "canard", "unseen": "cran"}
    assert letters_of(kept) == sorted(set("un canard"))
    assert +rejected == {
        "text with a digit or a symbol that is read aloud": 1,
        "text without a letter": 1,
        "text with a letter of another script": 1,
        "recording that is there already": 1,
        "training text that another split has": 2,
        "text with a letter that training does not have": 1,
    }


def test_prompts_without_one_spoken_text_are_counted(tmp_path: Path) -> None:
    """Noises, letters, missing recordings and doubtful texts give no row; comments and blank lines are no texts."""
    for key in ("vm-and", "beep", "letters/b", "letters/dash", "digits/0"):
        path = tmp_path / f"{key}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(audio_file(tone(1)))
    lines = ["; Sounds", "", "vm-and: y", "beep: [tono]", "letters/b: b", "letters/dash: guion", "gone: adios"]
    lines += ["digits/0: cero", "digits/0: diez"]
    rejected: Counter[str] = Counter()
    rows = list(rows_of(Prompts(ALLISON, lines, tmp_path, b""), UNSEEN, rejected))
    assert [(each.id, each.text, each.group) for each in rows] == [
        ("asterisk-es/vm-and", "y", "asterisk-es/vm-and"),
        ("asterisk-es/letters/dash", "guion", "asterisk-es/letters/dash"),
    ]
    assert rejected == {
        "text that is no speech": 1,
        "letter without its name": 1,
        "text without a recording": 1,
        "several texts for one recording": 2,
    }


def test_stored_recordings_are_the_publishers_files() -> None:
    """Ogg files of the stamps and WAV files of the prompts are stored unchanged, and texts in their one form."""
    folder = built_stamps_speech_small()
    stamps, prompts = (pq.read_table(folder / name) for name in ("gate-000.parquet", "unseen_voice.parquet"))
    assert all(audio.startswith(b"OggS") for audio in stamps["audio"].to_pylist())
    assert {soundfile.info(io.BytesIO(audio)).samplerate for audio in prompts["audio"].to_pylist()} == {8_000}
    for text in stamps["text"].to_pylist() + prompts["text"].to_pylist():
        assert normalise_transcript(text) == text == unicodedata.normalize("NFC", text)
