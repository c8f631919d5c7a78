"""Look into a `.keras` file: a zip archive with a configuration and weights. Nothing is unpacked to disk or run.

A file is refused unless it has exactly the members that Keras writes for a model of plain layers.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError

MEMBERS = ("metadata.json", "config.json", "model.weights.h5")
LARGEST_CONFIG = 32 * 1024 * 1024
"""Maximum bytes of the unpacked configuration."""
MOST_EXPANSION = 20
"""Maximum unpacked bytes per byte of the archive. Keras does not compress weights, so a real file has about 1."""


def read_archive(path: Path) -> dict[str, Any]:
    """Return the configuration of a `.keras` file, after its members are checked.

    Raises:
        ModelError: the file is no such archive, or has a member that Keras would not write for plain layers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        msg = f"{path} is no whole .keras file ({error}); save the model again with model.save"
        raise ModelError(msg) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        msg = f"{path} has a config.json that is no JSON ({error}); save the model again with model.save"
        raise ModelError(msg) from error
    if not isinstance(config, dict):
        msg = f"{path} has a config.json that is no JSON object; save the model again with model.save"
        raise ModelError(msg)
    return config


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    names = archive.namelist()
    foreign = [name for name in names if name not in MEMBERS]
    if foreign:
        _refuse_member(foreign[0], path)
    missing = [name for name in MEMBERS if names.count(name) != 1]
    if missing:
        count = names.count(missing[0])
        msg = f"{path} has {count or 'no'} {missing[0]}{' members' if count else ''}; save the model with model.save"
        raise ModelError(msg)
    unpacked = sum(member.file_size for member in archive.infolist())
    if archive.getinfo("config.json").file_size > LARGEST_CONFIG or unpacked > MOST_EXPANSION * path.stat().st_size:
        msg = f"{path} unpacks to {unpacked:,} bytes, more than a model of its size; save the model with model.save"
        raise ModelError(msg)


def _refuse_member(name: str, path: Path) -> None:
    if name.endswith((".npz", ".npy", ".pkl", ".pickle")):
        msg = f"{path} has weights in {name}, which may be a pickle; save the model with model.save of Keras 3"
    elif name.startswith("assets/"):
        msg = f"{path} has a layer that brings files of its own ({name}); remove that layer from the model"
    else:
        msg = f"{path} has the member {name!r}, which Keras does not write; save the model again with model.save"
    raise ModelError(msg)
