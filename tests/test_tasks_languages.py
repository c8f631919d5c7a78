"""A recipe chooses the languages of its recordings."""

import json
import shutil
from pathlib import Path

import pytest
from data_samples import make_house, make_job
from pydantic import ValidationError
from utterance_samples import unseen_utterances, write_utterances

from stillhouse.models.data.sound.utterances import load_unseen_voice, load_utterances
from stillhouse.tasks.data.format.dataset import SPLITS, fault_of, read_description
from stillhouse.tasks.data.store.excerpt import write_languages
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.rehearsal.expect import expect_contract
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.stages.pull import materialise, pull_data, pull_dataset

SPEECH = "stamps_speech_small"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a house whose remote holds recordings in French and Spanish."""
    return make_house(tmp_path / "house", monkeypatch, SPEECH)


def test_a_recipe_trains_and_judges_in_its_languages(house: Settings, tmp_path: Path) -> None:
    """Every split has the recordings of the chosen language, and the data keep their contract."""
    job = make_job(tmp_path / "job", Data(dataset=SPEECH, languages=("fr",)))
    metrics = pull_data(job)
    folder, whole = materialise(job.out), pull_dataset(house, Data(dataset=SPEECH))
    for split in SPLITS:
        chosen, every = load_utterances(folder, split), load_utterances(whole, split)
        assert {*chosen.languages} == {"fr"}
        assert chosen.texts == [text for text, name in zip(every.texts, every.languages, strict=True) if name == "fr"]
        assert metrics[f"rows_{split}"] == len(chosen) > 0
    assert json.loads((job.out / "data.json").read_text())["languages"] == ["fr"]
    assert not fault_of(folder, folder.name)
    expect_contract(folder, tmp_path / "contract")


def test_lost_recordings_are_chosen_again(house: Settings, tmp_path: Path) -> None:
    """A host that lost the chosen recordings makes the same files from the remote."""
    job = make_job(tmp_path / "job", Data(dataset=SPEECH, languages=("es",)))
    pull_data(job)
    folder = materialise(job.out)
    shutil.rmtree(house.data_cache)
    assert materialise(job.out) == folder
    assert not fault_of(folder, folder.name)


def test_all_languages_are_the_dataset_itself(house: Settings) -> None:
    """A recipe that lists every language uses the pinned files."""
    every = Data(dataset=SPEECH, languages=("es", "fr"))
    assert pull_dataset(house, every) == pull_dataset(house, Data(dataset=SPEECH))


def test_the_unseen_voice_is_chosen_too(tmp_path: Path) -> None:
    """The recordings of an unseen voice follow the languages; a language without one has none."""
    whole = write_utterances(tmp_path / "whole", unseen_utterances("ca"), languages=("fr", "ca"))
    for language, count in (("ca", 2), ("fr", 0)):
        folder = tmp_path / language
        folder.mkdir()
        write_languages(whole, folder, [language])
        assert read_description(folder)["languages"] == [language]
        assert len(load_unseen_voice(folder)) == count
        assert len(load_utterances(folder, "gate")) == 1


def test_an_unknown_language_is_named(house: Settings) -> None:
    """The refusal says which languages the dataset has."""
    with pytest.raises(DataError, match=r"has no recordings in xx; choose data\.languages of the recipe from es, fr"):
        pull_dataset(house, Data(dataset=SPEECH, languages=("fr", "xx")))


def test_pictures_have_no_languages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset without transcripts refuses the key."""
    house = make_house(tmp_path / "house", monkeypatch)
    with pytest.raises(DataError, match="chooses recordings with transcripts, and digits has none; remove it"):
        pull_dataset(house, Data(dataset="digits", languages=("fr",)))


def test_data_of_this_host_have_all_their_languages() -> None:
    """Imported data are chosen when they are imported."""
    with pytest.raises(ValidationError, match="languages chooses from data in DVC"):
        Data(dataset="mine", sha256="0" * 64, languages=("fr",))
