"""Small real houses for the data tests: a git repository, its DVC remote in a folder, and real data to spoil."""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.data.format.dataset import DESCRIPTION, read_description
from stillhouse.tasks.data.store.build_data import PLANS, push_folder
from stillhouse.tasks.data.store.remote import list_folder, listing_md5, open_remote
from stillhouse.tasks.data.store.revision import write_pointer
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.stages.validate import validate_data

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENT = ("STILLHOUSE_STATE", "STILLHOUSE_RUNS", "STILLHOUSE_DVC_URL")


def quiet(_line: str) -> None:
    """Show nothing."""


def built_digits() -> Path:
    """Find the digits."""
    return built_dataset("digits")


def built_emoji_small() -> Path:
    """Find the small emoji, the dataset with captions."""
    return built_dataset("emoji_small")


def built_stamps_small() -> Path:
    """Find the small stamps, the dataset with recordings."""
    return built_dataset("stamps_small")


def built_stamps_speech_small() -> Path:
    """Find the small dataset of utterances."""
    return built_dataset("stamps_speech_small")


@functools.cache
def built_dataset(name: str) -> Path:
    """Build a dataset once per test run, for all workers; treat the folder as read-only."""
    shared = Path(os.environ["STILLHOUSE_TEST_DATA"])
    with waiting(shared / f"{name}.lock"):
        if not (shared / name / DESCRIPTION).is_file():  # it is written last
            shutil.rmtree(shared / name, ignore_errors=True)
            PLANS[name].build(shared / name, name, quiet)
    return shared / name


def make_house(root: Path, monkeypatch: pytest.MonkeyPatch, dataset: str = "digits") -> Settings:
    """Make `root` a repository whose data.dvc pins one dataset, which its remote holds."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STILLHOUSE_ROOT", str(root))
    (root / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        shutil.copy(REPOSITORY / name, root / name)
    (root / ".gitignore").write_text("/data\n/.stillhouse/\n")
    git(root, "init", "--quiet")
    shutil.copytree(built_dataset(dataset), root / "data" / dataset)
    commit_house(load_settings(), dataset)
    return load_settings()


def commit_house(settings: Settings, tag: str) -> None:
    """Push what `data/` holds, pin it in data.dvc, commit and tag."""
    listings = {folder.name: list_folder(folder) for folder in sorted((settings.root / "data").iterdir())}
    for name, listing in listings.items():
        push_folder(settings.root / "data" / name, listing, open_remote(settings), quiet)
    if not (settings.root / "data.dvc").exists():
        (settings.root / "data.dvc").write_text("outs: []\n")
    write_pointer(settings.root, listings)
    git(settings.root, "add", ".")
    git(settings.root, "commit", "--quiet", "--message", tag)
    git(settings.root, "tag", tag)


def git(root: Path, *arguments: str) -> None:
    """Run git under a name of its own, whoever runs the tests."""
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, env=os.environ | {"LC_ALL": "C"})


def make_job(
    folder: Path, data: Data, inputs: dict[str, Path] | None = None, show: Callable[[str], None] = quiet
) -> Job:
    """Make a job with an empty out and scratch in a new folder."""
    (folder / "out").mkdir(parents=True)
    (folder / "scratch").mkdir()
    return Job(
        settings={"data": data},
        inputs=inputs or {},
        out=folder / "out",
        scratch=folder / "scratch",
        shared=folder / "shared",
        progress=show,
        record=lambda _step, _metrics: None,
    )


def object_of(settings: Settings, name: str) -> Path:
    """Find where the embedded remote keeps one file of the digits, or (name empty) their listing."""
    listing = list_folder(settings.root / "data" / "digits")
    return Path(open_remote(settings).address(listing[name] if name else listing_md5(listing)))


def digest_of(folder: Path) -> str:
    """Compute the dataset digest of a folder."""
    return file_digest(folder / DESCRIPTION)


Change = Callable[[pa.Table], pa.Table]


def cell(column: str, row: int, value: Any) -> Change:
    """Make a change of one value of a table."""

    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_pylist()
        values[row] = value
        return table.set_column(table.column_names.index(column), column, pa.array(values))

    return change


def make_house_of(built: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `root` a house that has no repository, only a copy of one dataset to spoil; returns the copy."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STILLHOUSE_ROOT", str(root))
    shutil.copytree(built, root / built.name)
    return root / built.name


def repin(dataset: Path) -> None:
    """Make dataset.json pin the files as they now are: a publisher's mistake, not a damaged copy."""
    described = read_description(dataset)
    shards = [shard for split in described["splits"].values() for shard in split["shards"]]
    beside = ("manifest", "captions", "gallery", "unseen_voice")
    for file in (*shards, *(described[name] for name in beside if name in described)):
        file["sha256"] = file_digest(dataset / file["path"])
    write_json(dataset / DESCRIPTION, described)


def pulled(dataset: Path, folder: Path) -> Path:
    """Put a dataset into the host cache as if it had been published and pulled; returns the pull's artifact."""
    digest = digest_of(dataset)
    shutil.copytree(dataset, load_settings().data_cache / digest)
    folder.mkdir()
    version = f"{digest[:12]}-{'0' * 32}.dir"
    pointer = {"dataset": dataset.name, "dvc_md5": f"{'0' * 32}.dir", "digest": digest, "data_version": version}
    write_json(folder / "data.json", pointer)
    return folder


def refused(dataset: Path, tmp_path: Path) -> tuple[set[str], str]:
    """Validate spoilt data, which must be refused with Data Docs and a remedy.

    Returns:
        The failures (`suite columns expectation rows`) and the sentence.
    """
    job = make_job(tmp_path / "job", Data(dataset=dataset.name), {"data": pulled(dataset, tmp_path / "pulled")})
    with pytest.raises(
        DataError, match=rf"^data {dataset.name} \(version .* mend the data or name another data\.revision"
    ) as caught:
        validate_data(job)
    docs = load_settings().runs / "data_docs_failed" / dataset.name / "data_docs" / "index.html"
    assert docs.is_file()
    assert f"see {docs}" in str(caught.value)
    outcomes = json.loads((job.out / "validation.json").read_text())
    failures = [each for each in outcomes if not each["success"]]
    lines = (f"{each['suite']} {each['columns']} {each['expectation']} {each['unexpected']}" for each in failures)
    return {" ".join(line.split()) for line in lines}, str(caught.value)
