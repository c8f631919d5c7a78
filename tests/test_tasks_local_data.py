"""Data that a recipe names by its digest: it is in this host's cache, and DVC does not know it."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from data_samples import built_digits, digest_of, make_job, quiet
from tiny_house import tiny_recipe

from stillhouse.tasks.data.format.dataset import fault_of
from stillhouse.tasks.data.store.build_data import ensure_data
from stillhouse.tasks.errors import DataError, RecipeError
from stillhouse.tasks.pipeline.frozen import Asked
from stillhouse.tasks.provenance.reproduce import _pin
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.registry.staleness import _newest_digest
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.stages.pull import data_digest, materialise, pull_data, pull_dataset

DIGEST = "5" * 64


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make a host without repository, data.dvc and remote, whose cache holds the digits."""
    monkeypatch.setenv("STILLHOUSE_ROOT", str(tmp_path))
    settings = load_settings()
    shutil.copytree(built_digits(), settings.data_cache / digest_of(built_digits()))
    return settings


@pytest.fixture
def data(settings: Settings) -> Data:
    """Name the digits of the cache."""
    return Data(dataset="digits", sha256=next(settings.data_cache.iterdir()).name)


def test_local_data_is_pulled_where_it_is(settings: Settings, data: Data, tmp_path: Path) -> None:
    """The stage names the data by its digest, and the later stages find it."""
    job = make_job(tmp_path / "job", data)
    metrics = pull_data(job)
    assert json.loads((job.out / "data.json").read_text()) == {
        "dataset": "digits",
        "revision": None,
        "dvc_md5": "",
        "digest": data.sha256,
        "data_version": f"sha256-{data.sha256}",
        "counts": {"train": 937, "calibration": 100, "validation": 100, "gate": 300, "test": 360},
    }
    assert metrics["rows_train"] == 937.0
    assert materialise(job.out) == pull_dataset(settings, data) == settings.data_cache / str(data.sha256)
    assert data_digest(data) == _newest_digest(settings, data) == data.sha256
    ensure_data(settings, data, quiet)


@pytest.mark.parametrize("file", ["dataset.json", "train-000.parquet"])
def test_local_data_that_is_damaged_is_imported_again(
    settings: Settings, data: Data, tmp_path: Path, file: str
) -> None:
    """A missing file, and then a missing folder, end the stage with the remedy; so do they end a later stage."""
    job = make_job(tmp_path / "job", data)
    pull_data(job)
    (settings.data_cache / str(data.sha256) / file).unlink()
    again = rf"{file} is missing.* in .*{data.sha256}, where .* dataset digits; import it again with `stillhouse data"
    with pytest.raises(DataError, match=again):
        materialise(job.out)
    shutil.rmtree(settings.data_cache)
    with pytest.raises(DataError, match="import it again with `stillhouse data import`"):
        pull_data(job)


def test_local_data_has_the_name_that_the_recipe_gives(settings: Settings, data: Data) -> None:
    """The digest of another dataset is refused."""
    with pytest.raises(DataError, match=r"is the dataset digits, not photos; mend data\.dataset or data\.sha256"):
        pull_dataset(settings, Data(dataset="photos", sha256=data.sha256))


def test_local_data_has_no_revision(tmp_path: Path) -> None:
    """A recipe that names both is refused, and so is a revision for a recipe with local data."""
    path = tiny_recipe(tmp_path)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["data"] = {"dataset": "digits", "sha256": DIGEST}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert load_recipe(path).data.sha256 == DIGEST
    with pytest.raises(RecipeError, match=r"tiny\.yaml names its data by sha256; leave the revision HEAD out"):
        Asked(path, revision="HEAD").recipe()
    content["data"]["revision"] = "HEAD"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"data: .*sha256 names data on this host; give one of the two"):
        load_recipe(path)


def test_a_reproduction_reads_the_local_data(settings: Settings, data: Data, tmp_path: Path) -> None:
    """The record names the data; the reproduction's own cache has it, also when it is prepared again."""
    told = {"dataset": "digits", "data_version": f"sha256-{data.sha256}"}
    record = {"data": told, "recipe": {"data": data.model_dump(mode="json")}}
    for _ in range(2):
        assert _pin(settings, record, tmp_path / "again") == {"dataset": "digits", "sha256": data.sha256}
    assert not fault_of(tmp_path / "again" / "state" / "data" / str(data.sha256), str(data.sha256))
