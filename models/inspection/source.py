"""Find out what a user's model is: a folder or a file, in which format, with which configuration.

Nothing is unpickled and no code of the model is run. Only JSON files, the headers of safetensors files and ONNX graphs
are read.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stillhouse.models.errors import ModelError

Format = Literal["transformers", "timm", "safetensors", "onnx", "keras", "tensorflow", "tflite"]
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".t7")
"""Endings of files that may be pickles."""
GRAPHS: dict[str, Format] = {".onnx": "onnx", ".keras": "keras", ".h5": "keras", ".tflite": "tflite"}
"""Ending of a file with a whole model -> its format."""
LARGEST_CONFIG = 4 * 1024 * 1024
"""Maximum bytes of a JSON file that is read."""
CODE_KEYS = ("auto_map", "custom_pipelines")
"""Keys of config.json that name Python code of the model's author."""


@dataclass(frozen=True)
class Source:
    """A user's model on disk."""

    path: Path
    format: Format
    files: tuple[Path, ...]
    """The files with weights."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Content of config.json, or empty."""
    modules: tuple[str, ...] = ()
    """Types of the modules that a sentence-transformers folder chains."""

    @property
    def name(self) -> str:
        """Name of the model: that of its folder or file, without an ending."""
        return self.path.resolve().name.removesuffix(self.path.suffix if self.path.is_file() else "")


def find_source(path: Path) -> Source:
    """Find the model at a path.

    Args:
        path: a folder as `save_pretrained`, timm or TensorFlow write it, or one model file.

    Raises:
        ModelError: there is no model, it is a pickle, or it needs code of its author. The error says what to do.
    """
    try:
        return _of_file(path) if path.is_file() else _of_folder(path)
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}); mend its permissions"
        raise ModelError(msg) from error


def _of_file(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix in GRAPHS:
        return Source(path, GRAPHS[suffix], (path,))
    if suffix == ".safetensors":
        return Source(path, "safetensors", (path,), _config(path.parent / "config.json"))
    raise ModelError(_refusal(path))


def _of_folder(path: Path) -> Source:
    if not path.is_dir():
        hub = "; a hub id is not downloaded: fetch the model first and name its folder" if _is_hub_id(path) else ""
        msg = f"{path} is no file and no folder{hub or '; name the folder or the file of the model'}"
        raise ModelError(msg)
    if (path / "saved_model.pb").is_file():
        return Source(path, "tensorflow", tuple(sorted(path.glob("variables/variables.data-*"))))
    config, tensors = _config(path / "config.json"), tuple(sorted(path.glob("*.safetensors")))
    _refuse_code(path, config)
    if tensors:
        return Source(path, _format_of(config), tensors, config, _modules(path / "modules.json"))
    return _with_config(_only_graph(path), config)


def _is_hub_id(path: Path) -> bool:
    return not path.is_absolute() and len(path.parts) <= 2 and not path.suffix  # noqa: PLR2004 - owner/name


def _format_of(config: Mapping[str, Any]) -> Format:
    if "model_type" in config or "architectures" in config:
        return "transformers"
    return "timm" if "architecture" in config else "safetensors"


def _only_graph(path: Path) -> Source:
    """Return the folder's only whole-model file."""
    graphs = sorted(file for file in path.iterdir() if file.suffix.lower() in GRAPHS)
    if len(graphs) == 1:
        return _of_file(graphs[0])
    if graphs:
        msg = f"{path} has {len(graphs)} models ({', '.join(file.name for file in graphs)}); name one of them"
        raise ModelError(msg)
    pickles = sorted(file for file in path.iterdir() if file.suffix.lower() in PICKLES)
    if pickles:
        raise ModelError(_refusal(pickles[0]))
    msg = f"{path} has no model file; name a folder with .safetensors, .onnx, .keras, .h5, .tflite or saved_model.pb"
    raise ModelError(msg)


def _with_config(source: Source, config: Mapping[str, Any]) -> Source:
    return Source(source.path, source.format, source.files, config)


def _refusal(path: Path) -> str:
    if path.suffix.lower() in PICKLES:
        return (
            f"{path} may be a pickle, which can run any code when it is opened, so it is not opened; where you trust "
            "it, load it and save it with model.save_pretrained(folder) or safetensors.torch.save_file"
        )
    known = ", ".join((*GRAPHS, ".safetensors"))
    return f"{path} ends with {path.suffix or 'nothing'}, and a model file ends with one of {known}; name such a file"


def _refuse_code(path: Path, config: Mapping[str, Any]) -> None:
    keys = [key for key in CODE_KEYS if config.get(key)]
    if keys:
        msg = (
            f"{path / 'config.json'} asks to run code of the model's author ({keys[0]}), which is not run; where you "
            "trust it, export the model to ONNX and name the .onnx file"
        )
        raise ModelError(msg)


def _config(path: Path) -> Mapping[str, Any]:
    content = _json(path)
    if not isinstance(content, dict):
        msg = f"{path} is no JSON object; save the model again"
        raise ModelError(msg)
    return content


def _modules(path: Path) -> tuple[str, ...]:
    content = _json(path)
    entries = content if isinstance(content, list) else []
    return tuple(str(entry.get("type", "")) for entry in entries if isinstance(entry, dict))


def _json(path: Path) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON file; an absent file is an empty object."""
    if not path.is_file():
        return {}
    if path.stat().st_size > LARGEST_CONFIG:
        msg = f"{path} has {path.stat().st_size:,} bytes, too many for a configuration; save the model again"
        raise ModelError(msg)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        msg = f"{path} is no valid JSON ({error}); save the model again"
        raise ModelError(msg) from error
