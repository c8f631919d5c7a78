"""Find the data version that a git revision pins: the MD5 of each dataset in its data.dvc.

This module downloads nothing. Each dataset is a separate DVC output, so a remote may hold only some of them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from stillhouse.models.aside import write_aside
from stillhouse.tasks.data.store.git import ask
from stillhouse.tasks.data.store.remote import listing_md5
from stillhouse.tasks.errors import DataError

POINTER = "data.dvc"
DATASET = re.compile(r"data/[\w-]+")
MD5_OF_FOLDER = re.compile(r"[0-9a-f]{32}\.dir")


def read_pinned_md5(root: Path, revision: str | None, dataset: str) -> str:
    """Return DVC's digest of one dataset: 32 hexadecimal digits and `.dir`.

    The digest is read at a git revision, or from the deployed data.dvc if the revision is `None`.

    Raises:
        DataError: the revision is unknown, or its data.dvc does not track the dataset.
    """
    pinned = read_pinned(root, revision)
    if dataset not in pinned:
        known = ", ".join(pinned)
        msg = f"{_where(revision)} has no dataset {dataset!r}; name one of {known} in the recipe's data.dataset"
        raise DataError(msg)
    return pinned[dataset]


def read_pinned(root: Path, revision: str | None) -> dict[str, str]:
    """Return dataset -> digest at a git revision, or from the deployed data.dvc if the revision is `None`.

    Raises:
        DataError: the revision is unknown, or has no data.dvc that tracks the datasets of `data/`.
    """
    text = _read_deployed(root) if revision is None else read_committed(root, revision)
    try:
        pinned = {str(out["path"]): str(out["md5"]) for out in yaml.safe_load(text)["outs"]}
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise DataError(_unusable(revision)) from error
    if not pinned or not all(DATASET.fullmatch(path) and MD5_OF_FOLDER.fullmatch(md5) for path, md5 in pinned.items()):
        raise DataError(_unusable(revision))
    return {path.removeprefix("data/"): md5 for path, md5 in pinned.items()}


def revision_of(root: Path, dataset: str, md5: str) -> str | None:
    """Find a git revision that pins a dataset at a digest; `None` if the deployed data.dvc pins it.

    Raises:
        DataError: no commit of this repository pins this digest.
    """
    if read_pinned(root, None).get(dataset) == md5:
        return None
    for commit in (ask(root, "log", "--all", "--format=%H", f"-S{md5}", "--", POINTER) or "").split():
        if f"md5: {md5}" in read_committed(root, commit):
            return commit
    msg = f"no commit of this repository pins data/{dataset} at {md5}; fetch its branches with `git fetch --all --tags`"
    raise DataError(msg)


def read_committed(root: Path, revision: str) -> str:
    """Read the data.dvc of a git revision.

    Raises:
        DataError: the revision is unknown or has no data.dvc, or git cannot read the repository.
    """
    if not ask(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"):
        msg = (
            f"data revision {revision!r} is not a commit of this repository; fetch it with `git fetch --tags`, "
            "or name another in the recipe's data.revision"
        )
        raise DataError(msg)
    found = ask(root, "rev-parse", "--verify", "--quiet", f"{revision}:./{POINTER}")
    text = ask(root, "cat-file", "blob", found) if found else None
    if not text:
        msg = f"revision {revision!r} has no {POINTER}; name a later one in the recipe's data.revision"
        raise DataError(msg)
    return text


def write_pointer(root: Path, listings: Mapping[str, Mapping[str, str]]) -> None:
    """Pin these datasets of `data/` in data.dvc, as `dvc commit` would. All other datasets keep their pins.

    Raises:
        DataError: data.dvc cannot be read. A new one would drop the pins of the others.
    """
    content = _read_deployed(root)
    for name, listing in listings.items():
        content = repin(content, root, name, listing)
    with write_aside(root / POINTER) as aside:
        aside.write_text(content, encoding="utf-8")


def repin(pointer: str, root: Path, dataset: str, listing: Mapping[str, str]) -> str:
    """Return a data.dvc with one dataset replaced by, or added from, `root`/data. The other datasets do not change."""
    content = yaml.safe_load(pointer)
    output = _output(root, f"data/{dataset}", listing)
    known = any(out["path"] == output["path"] for out in content["outs"])
    changed = [out | output if out["path"] == output["path"] else out for out in content["outs"]]
    content["outs"] = changed if known else [*changed, output]
    return yaml.safe_dump(content, sort_keys=False)


def _output(root: Path, path: str, listing: Mapping[str, str]) -> dict[str, Any]:
    size = sum((root / path / name).stat().st_size for name in listing)
    return {"md5": listing_md5(listing), "size": size, "nfiles": len(listing), "hash": "md5", "path": path}


def _read_deployed(root: Path) -> str:
    try:
        return (root / POINTER).read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{root / POINTER} cannot be read ({error.strerror}); restore it with `git checkout {POINTER}`"
        raise DataError(msg) from error


def _where(revision: str | None) -> str:
    return f"{POINTER} of {'this checkout' if revision is None else f'revision {revision!r}'}"


def _unusable(revision: str | None) -> str:
    remedy = f"restore it with `git checkout {POINTER}`" if revision is None else "name a later one in data.revision"
    return f"{_where(revision)} does not track the datasets of data/ with an md5 each; {remedy}"
