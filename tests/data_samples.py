"""A small real house for the data tests: a git repository, its DVC remote in a folder, and scikit-learn's digits."""

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.artifact import file_digest
from tasks.data.build_data import PLANS, build_dataset, push_folder
from tasks.data.dataset import DESCRIPTION
from tasks.data.remote import list_folder, listing_md5, open_remote
from tasks.data.revision import write_pointer
from tasks.job import Job
from tasks.recipe import Data
from tasks.settings import Settings, load_settings

REPOSITORY = Path(__file__).resolve().parent.parent
ENVIRONMENT = ("STILLHOUSE_STATE", "STILLHOUSE_RUNS", "STILLHOUSE_DVC_URL")


def quiet(_line: str) -> None:
    """Show nothing."""


@functools.cache
def built_digits() -> Path:
    """Build the digits once per test run; treat the folder as read-only."""
    folder = Path(tempfile.mkdtemp(prefix="stillhouse-digits-")) / "digits"
    build_dataset(folder, "digits", PLANS["digits"], quiet)
    return folder


def make_house(root: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Make `root` a repository whose data.dvc pins the digits, which its remote holds."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STILLHOUSE_ROOT", str(root))
    (root / ".dvc").mkdir(parents=True)
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        shutil.copy(REPOSITORY / name, root / name)
    (root / ".gitignore").write_text("/data\n/.stillhouse/\n")
    git(root, "init", "--quiet")
    shutil.copytree(built_digits(), root / "data" / "digits")
    commit_house(load_settings(), "digits")
    return load_settings()


def commit_house(settings: Settings, tag: str) -> str:
    """Push what `data/` holds, pin it in data.dvc, commit and tag; returns the MD5."""
    folder = settings.root / "data"
    listing = list_folder(folder)
    push_folder(folder, listing, open_remote(settings), quiet)
    write_pointer(settings.root, listing_md5(listing), {name: (folder / name).stat().st_size for name in listing})
    git(settings.root, "add", ".")
    git(settings.root, "commit", "--quiet", "--message", tag)
    git(settings.root, "tag", tag)
    return listing_md5(listing)


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
    """Find where the embedded remote keeps one file of `data/`, or (name empty) the listing of all."""
    listing = list_folder(settings.root / "data")
    return Path(open_remote(settings).address(listing[name] if name else listing_md5(listing)))


def digest_of(folder: Path) -> str:
    """Compute the dataset digest of a folder."""
    return file_digest(folder / DESCRIPTION)
