"""Read the headers of Keras weights in HDF5 with h5py, in TensorFlow's environment. No weight is loaded.

HDF5 can refer to other files of the computer. Such a file is refused.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from stillhouse.models.errors import ModelError
from stillhouse.models.keras.archive import read_archive
from stillhouse.models.keras.config import check_config

MOST_EXPANSION = 20
"""Maximum bytes of all tensors per byte of the file. Keras does not compress weights."""
DEEPEST = 50
"""Maximum depth of groups. A group that contains itself has no end."""


def read_keras(path: Path) -> dict[str, Any]:
    """Check a `.keras` or `.h5` file and return its configuration and the headers of its tensors.

    Returns:
        `config`, and `tensors` with (name, shape, bytes) of each.

    Raises:
        ModelError: the file is damaged, refers to other files, or holds more than plain layers.
    """
    if path.suffix.lower() == ".keras":
        config = read_archive(path)
        check_config(config, path.name)
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as stream:
            return {"config": config, "tensors": _headers(stream, path)}  # type: ignore[arg-type] # h5py needs only seek and read
    with path.open("rb") as stream:
        tensors = _headers(stream, path)
        config = _stored_config(stream, path)
    check_config(config, path.name)
    return {"config": config, "tensors": tensors}


def _stored_config(stream: BinaryIO, path: Path) -> dict[str, Any]:
    import h5py  # type: ignore[import-not-found] # TensorFlow's environment has it

    with h5py.File(stream, "r") as file:
        text = file.attrs.get("model_config")
    try:
        config = json.loads(text) if text is not None else {}
    except (ValueError, RecursionError, TypeError) as error:
        msg = f"{path.name} has a configuration that is no JSON ({error}); save the model again with model.save"
        raise ModelError(msg) from error
    return config if isinstance(config, dict) else {}


def _headers(stream: BinaryIO, path: Path) -> list[tuple[str, list[int], int]]:
    import h5py

    try:
        with h5py.File(stream, "r") as file:
            found = list(_tensors(file, "", path))
    except OSError as error:
        msg = f"{path.name} has no whole HDF5 weights ({error}); save the model again with model.save"
        raise ModelError(msg) from error
    if sum(size for _, _, size in found) > MOST_EXPANSION * path.stat().st_size:
        msg = f"{path.name} claims tensors far larger than the file; save the model again with model.save"
        raise ModelError(msg)
    return [entry for entry in found if not entry[0].startswith("optimizer")]


def _tensors(group: Any, prefix: str, path: Path) -> Iterator[tuple[str, list[int], int]]:  # noqa: ANN401 - h5py publishes no types
    import h5py

    for name in group:
        place = f"{prefix}{name}"
        if prefix.count("/") > DEEPEST or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            _refuse_link(place, path)
        child = group[name]
        if isinstance(child, h5py.Group):
            yield from _tensors(child, f"{place}/", path)
        else:
            if child.external or child.is_virtual:
                _refuse_link(place, path)
            yield place, list(child.shape or ()), int(child.nbytes)


def _refuse_link(place: str, path: Path) -> None:
    msg = f"{path.name} refers to another file or place for {place}; save the model again with model.save"
    raise ModelError(msg)
