"""Stage `pull`: copy one version of one dataset from the DVC remote into this host's cache and check every byte.

The stage's artifact only names the data. Each host materialises the data before use, so data never goes through MLflow.
A recipe may name a dataset by its `sha256`. The dataset is then in the cache already, and DVC does not know it.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillhouse.tasks.artifacts.artifact import file_digest, write_json
from stillhouse.tasks.artifacts.folders import move_into
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.data.format.dataset import DESCRIPTION, fault_of, read_description
from stillhouse.tasks.data.store.excerpt import expect_languages, write_languages
from stillhouse.tasks.data.store.remote import Remote, open_remote
from stillhouse.tasks.data.store.revision import read_pinned_md5
from stillhouse.tasks.errors import DataError
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings, load_settings

if TYPE_CHECKING:
    from stillhouse.tasks.pipeline.job import Job

POINTER = "data.json"


def pull_data(job: "Job") -> dict[str, float]:
    """Copy the recipe's dataset to this host and write data.json, which pins the dataset for the later stages.

    Returns:
        Rows per split (`rows_train` and so on), and `bytes`, the size of all files together.

    Raises:
        DataError: the revision or dataset is unknown, or an object is missing, truncated or altered.
        ServiceError: the remote does not answer.
    """
    settings, data = load_settings(), job.settings["data"]
    version = job.outside.get("data") or data_digest(data)
    job.progress(f"{'checking' if data.sha256 else 'pulling'} {data.dataset}, version {version}")
    whole = _find_or_pull(settings, data, version)
    folder = choose_languages(settings, whole, data.languages)
    digest, splits = folder.name, read_description(folder)["splits"]
    counts = {split: described["count"] for split, described in splits.items()}
    pointer = {
        "dataset": data.dataset,
        "revision": data.revision,
        "dvc_md5": "" if data.sha256 else version,
        "digest": digest,
        "data_version": f"sha256-{digest}" if data.sha256 else f"{digest[:12]}-{version}",
        "counts": counts,
        **({"languages": data.languages} if folder != whole else {}),
    }
    write_json(job.out / POINTER, pointer)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {**{f"rows_{split}": float(count) for split, count in counts.items()}, "bytes": float(size)}


def materialise(pull_artifact: Path) -> Path:
    """Return the verified data that a pull stage pinned.

    If this host's copy is absent or altered, it is fetched again. Data that is not in DVC cannot be fetched.

    Args:
        pull_artifact: the pull stage's output, with its data.json.

    Returns:
        The dataset folder, for reading only.

    Raises:
        DataError: the data cannot be fetched completely.
        ServiceError: the remote does not answer.
    """
    settings = load_settings()
    pointer = read_pointer(pull_artifact)
    if not pointer["dvc_md5"]:
        return _find_local(settings, pointer["dataset"], pointer["digest"])
    folder: Path = settings.data_cache / pointer["digest"]
    if fault_of(folder, folder.name):
        whole = _pull_locked(settings, pointer["dataset"], pointer["dvc_md5"])
        fetched = choose_languages(settings, whole, pointer.get("languages"))
        if fetched != folder:
            msg = f"{pull_artifact / POINTER} contradicts data version {pointer['dvc_md5']}; run the pull stage again"
            raise DataError(msg)
    return folder


def pull_dataset(settings: Settings, data: Data) -> Path:
    """Copy a recipe's dataset to this host if DVC has it, and verify it. Returns its folder, for reading only.

    Raises:
        DataError: the revision or dataset is unknown, or an object is missing, truncated or altered.
        ServiceError: the remote does not answer.
    """
    return choose_languages(settings, _find_or_pull(settings, data, data_digest(data)), data.languages)


def data_digest(data: Data) -> str:
    """Return the digest of the dataset version that a recipe names: DVC's MD5, or the recipe's own SHA-256.

    The key of `pull` includes it. Downloads nothing.

    Raises:
        DataError: the revision is unknown or does not pin the dataset.
    """
    return data.sha256 or read_pinned_md5(load_settings().root, data.revision, data.dataset)


def read_pointer(pull_artifact: Path) -> dict[str, Any]:
    """Read the data.json of a pull stage: dataset, revision, dvc_md5, digest, data_version, counts.

    Raises:
        DataError: data.json is missing or unreadable.
    """
    try:
        pointer: dict[str, Any] = json.loads((pull_artifact / POINTER).read_bytes())
    except (OSError, ValueError) as error:
        msg = f"{pull_artifact / POINTER} is missing or unreadable; run the pull stage again"
        raise DataError(msg) from error
    return pointer


def choose_languages(settings: Settings, whole: Path, languages: Sequence[str] | None) -> Path:
    """Return a dataset with only the recordings in some languages, or the dataset itself if it has no others.

    Raises:
        DataError: the dataset has no transcripts, or not these languages, or the disk is full.
    """
    if languages is None:
        return whole
    expect_languages(read_description(whole), languages)
    if {*languages} == {*read_description(whole)["languages"]}:
        return whole
    return _locked(settings, lambda scratch: _write_languages(settings, whole, languages, scratch))


def _write_languages(settings: Settings, whole: Path, languages: Sequence[str], scratch: Path) -> Path:
    folder = settings.data_cache / write_languages(whole, scratch, languages)
    if fault_of(folder, folder.name):
        move_into(scratch, folder)
    return folder


def _find_or_pull(settings: Settings, data: Data, version: str) -> Path:
    if data.sha256:
        return _find_local(settings, data.dataset, data.sha256)
    return _pull_locked(settings, data.dataset, version)


def _find_local(settings: Settings, dataset: str, digest: str) -> Path:
    """Find data that only this host has, and check every byte."""
    folder = settings.data_cache / digest
    fault = fault_of(folder, digest)
    if not fault and (name := read_description(folder)["name"]) != dataset:
        msg = f"sha256 {digest} is the dataset {name}, not {dataset}; mend data.dataset or data.sha256 of the recipe"
        raise DataError(msg)
    if fault:
        msg = (
            f"{fault} in {folder}, where this host keeps its own dataset {dataset}; import it again with "
            "`stillhouse data import`"
        )
        raise DataError(msg)
    return folder


def _pull_locked(settings: Settings, dataset: str, md5: str) -> Path:
    """Pull under this host's lock. A second pull waits, and then finds the data complete."""
    return _locked(settings, lambda scratch: _pull(settings, dataset, md5, scratch))


def _locked(settings: Settings, fill: Callable[[Path], Path]) -> Path:
    """Call a function with an empty folder, under this host's lock."""
    try:
        with waiting(settings.data_cache / "lock"):
            scratch = settings.data_cache / ".partial"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                return fill(scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        msg = f"{settings.data_cache} cannot be written ({error.strerror}); free the disk or mend its permissions"
        raise DataError(msg) from error


def _pull(settings: Settings, dataset: str, md5: str, scratch: Path) -> Path:
    remote = open_remote(settings)
    listing = remote.listing(dataset, md5, scratch)
    if DESCRIPTION not in listing:
        msg = f"version {md5} of data/{dataset} has no {DESCRIPTION}; build it again with `stillhouse data --commit`"
        raise DataError(msg)
    _fetch(remote, dataset, listing, DESCRIPTION, scratch)
    folder = settings.data_cache / file_digest(scratch / DESCRIPTION)
    if fault_of(folder, folder.name):
        for name in listing:
            _fetch(remote, dataset, listing, name, scratch)
        _check_pulled(scratch, dataset, folder.name)
        move_into(scratch, folder)
    return folder


def _fetch(remote: Remote, dataset: str, listing: dict[str, str], name: str, scratch: Path) -> None:
    target = scratch / name
    target.parent.mkdir(parents=True, exist_ok=True)
    remote.fetch(listing[name], target, f"data/{dataset}/{name}")


def _check_pulled(scratch: Path, dataset: str, digest: str) -> None:
    if fault := fault_of(scratch, digest):
        msg = (
            f"data/{dataset}/{fault}: the pinned data version contradicts its own {DESCRIPTION}; "
            "build it again with `stillhouse data --commit`"
        )
        raise DataError(msg)
