"""Data that goes to this host's cache alone: the same rows as by DVC, without DVC, whole or not at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from data_samples import make_house, quiet
from picture_samples import photos, picture

from stillhouse.models.data.images import load_images
from stillhouse.tasks.data.format.dataset import fault_of, read_manifest
from stillhouse.tasks.data.importing.import_folder import import_folder
from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.settings import Settings

SHAPE = (3, 16, 16)
LACKING = ("dvc", "dvc_data", "boto3", "botocore", "great_expectations", "airflow", "mlflow", "torch")
WITHOUT = f"""
import sys
from importlib.abc import MetaPathFinder
class Lacking(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {LACKING!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Lacking())
from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.settings import load_settings
print(import_local(load_settings(), Wanted("mine", sys.argv[1], {SHAPE!r}, "CC0"), eval(sys.argv[2])).digest)
"""
"""Imports the source of the first argument, and shows progress by the second, without what a light install lacks."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path, tmp_path / "state", tmp_path / "runs", "")


def wanted(source: Path) -> Wanted:
    return Wanted("mine", source, SHAPE, "CC0")


def test_a_folder_lands_in_the_cache_whole(settings: Settings, tmp_path: Path) -> None:
    """The cache has the dataset under the digest of its dataset.json, and nothing else is written."""
    found = import_local(settings, wanted(photos(tmp_path / "photos")), quiet)
    folder = settings.data_cache / found.digest
    assert fault_of(folder, found.digest) == ""
    assert sum(len(load_images(folder, split)) for split in found.counts) == 180
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "state"]
    assert sorted(path.name for path in settings.data_cache.iterdir()) == sorted([found.digest, "lock"])
    assert sorted(path.name for path in (settings.state / "imports" / "mine").iterdir()) == [".lock", "rejected.csv"]


def test_the_version_is_that_of_an_import_by_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder has one digest, by whichever way it is imported."""
    house, root = make_house(tmp_path / "house", monkeypatch), photos(tmp_path / "photos")
    by_dvc = import_folder(house, wanted(root), quiet)
    assert import_local(house, wanted(root), quiet) == by_dvc


def test_a_changed_folder_lands_beside_the_first(settings: Settings, tmp_path: Path) -> None:
    """A version that a recipe names stays as it is."""
    root = photos(tmp_path / "photos")
    first = import_local(settings, wanted(root), quiet).digest
    picture(77).save(root / "cat" / "new.png")
    second = import_local(settings, wanted(root), quiet).digest
    assert first != second
    assert fault_of(settings.data_cache / first, first) == fault_of(settings.data_cache / second, second) == ""


def test_a_damaged_copy_is_mended(settings: Settings, tmp_path: Path) -> None:
    """The same import repairs a file of the cache that was altered."""
    root = photos(tmp_path / "photos")
    digest = import_local(settings, wanted(root), quiet).digest
    shard = settings.data_cache / digest / "train-000.parquet"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert import_local(settings, wanted(root), quiet).digest == digest
    assert fault_of(settings.data_cache / digest, digest) == ""


def test_a_second_import_of_the_name_is_refused_at_once(settings: Settings, tmp_path: Path) -> None:
    """Two imports never write into one folder."""
    from stillhouse.tasks.artifacts.locks import exclusive
    from stillhouse.tasks.errors import ServiceError

    with (
        exclusive(settings.state / "imports" / "mine" / ".lock", "the import of mine"),
        pytest.raises(ServiceError, match="the import of mine is under way already in process"),
    ):
        import_local(settings, wanted(tmp_path), quiet)


def test_a_refused_source_leaves_the_cache_alone(settings: Settings, tmp_path: Path) -> None:
    """Of a folder with too few pictures nothing lands, and each reason is listed all the same."""
    root = photos(tmp_path / "photos", 10)
    (root / "cat" / "note.txt").write_text("no picture")
    with pytest.raises(DataError, match=r"the class .+ has 10 different pictures and none of them falls into"):
        import_local(settings, wanted(root), quiet)
    assert not settings.data_cache.exists()
    assert 'cat/note.txt,"the picture cannot be read' in (settings.state / "imports/mine/rejected.csv").read_text(
        "utf-8"
    )


def test_no_service_is_needed(settings: Settings, tmp_path: Path) -> None:
    """A process that has no DVC, boto3, Great Expectations, Airflow, MLflow and torch makes the same dataset."""
    root = photos(tmp_path / "photos")
    environment = os.environ | {
        "STILLHOUSE_ROOT": str(tmp_path),
        "STILLHOUSE_STATE": str(tmp_path / "light"),
        "STILLHOUSE_RUNS": str(settings.runs),
    }
    command = [sys.executable, "-c", WITHOUT, str(root), "lambda line: None"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    digest = import_local(settings, wanted(root), quiet).digest
    assert ran.stdout.strip() == digest
    assert json.loads((tmp_path / "light" / "data" / digest / "dataset.json").read_bytes())["name"] == "mine"


def test_a_process_that_is_killed_leaves_whole_chunks(settings: Settings, tmp_path: Path) -> None:
    """After SIGKILL the next import reads only the chunks that were not stored, and makes the same dataset."""
    root, lines = photos(tmp_path / "photos", 300), list[str]()
    environment = os.environ | {"STILLHOUSE_ROOT": str(tmp_path), "STILLHOUSE_STATE": str(settings.state)}
    command = [sys.executable, "-c", WITHOUT, str(root), "lambda line: print(line, flush=True)"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout or ():
            if line.startswith("reading 768"):
                child.kill()
    assert not settings.data_cache.exists()
    digest = import_local(settings, wanted(root), lines.append).digest
    assert 1 <= sum(line.startswith("reading") for line in lines) <= 2
    assert import_local(settings, wanted(root), quiet).digest == digest


def test_every_row_is_in_the_manifest_once(settings: Settings, tmp_path: Path) -> None:
    """Shards and manifest agree on the place of each picture."""
    found = import_local(settings, wanted(photos(tmp_path / "photos")), quiet)
    rows = read_manifest(settings.data_cache / found.digest)
    assert len({(row["shard"], row["row"]) for row in rows}) == len({row["id"] for row in rows}) == 180
