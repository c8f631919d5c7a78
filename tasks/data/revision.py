"""Which data version a revision of the repository pins: the MD5 in its data.dvc. Cheap: it downloads nothing."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import DataError

POINTER = "data.dvc"
MD5_OF_FOLDER = re.compile(r"[0-9a-f]{32}\.dir")


def pinned_md5(root: Path, revision: str | None) -> str:
    """Look up DVC's digest of `data/`, 32 hexadecimal digits and `.dir`, at a git revision or (None) as deployed.

    Raises:
        DataError: the revision is unknown, or has no data.dvc that tracks `data/`.
    """
    text = _deployed(root) if revision is None else _committed(root, revision)
    where = f"{POINTER} of {'this checkout' if revision is None else f'revision {revision!r}'}"
    try:
        (tracked,) = yaml.safe_load(text)["outs"]
        md5, path = str(tracked["md5"]), tracked["path"]
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(_unusable(where)) from error
    if path != "data" or not MD5_OF_FOLDER.fullmatch(md5):
        raise DataError(_unusable(where))
    return md5


def write_pointer(root: Path, md5: str, sizes: dict[str, int]) -> None:
    """Write data.dvc as `dvc add data` would, from each file's size in bytes."""
    out: dict[str, Any] = {"md5": md5, "size": sum(sizes.values()), "nfiles": len(sizes), "hash": "md5", "path": "data"}
    aside = root / f".{POINTER}.partial"
    aside.write_text(yaml.safe_dump({"outs": [out]}, sort_keys=False), encoding="utf-8")
    aside.replace(root / POINTER)


def _deployed(root: Path) -> str:
    try:
        return (root / POINTER).read_text(encoding="utf-8")
    except OSError as error:
        msg = f"{root / POINTER} cannot be read ({error.strerror}); restore it with `git checkout {POINTER}`"
        raise DataError(msg) from error


def _committed(root: Path, revision: str) -> str:
    if not _git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"):
        msg = (
            f"data revision {revision!r} is not a commit of this repository; fetch it with `git fetch --tags`, "
            "or name another in the recipe's data.revision"
        )
        raise DataError(msg)
    text = _git(root, "show", f"{revision}:./{POINTER}")
    if not text:
        msg = f"revision {revision!r} has no {POINTER}; name a later one in the recipe's data.revision"
        raise DataError(msg)
    return text


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - a revision cannot start with a dash (tasks.recipe.DATA_REVISION)
            ["git", "-C", str(root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except FileNotFoundError as error:
        msg = "git is not installed, so a data revision cannot be looked up; install git or leave data.revision out"
        raise DataError(msg) from error
    return done.stdout if done.returncode == 0 else ""


def _unusable(where: str) -> str:
    return f"{where} does not track the folder data/ with one md5; restore it with `git checkout {POINTER}`"
