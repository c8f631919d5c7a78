"""Check a Keras configuration before Keras sees it: nothing in it may run code of the model's author.

Keras itself refuses some of this (`safe_mode`). The check here is stricter and does not depend on Keras's version.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from stillhouse.models.errors import ModelError

PLAIN_MODULES = (
    "keras", "keras.layers", "keras.models", "keras.activations", "keras.initializers", "keras.regularizers",
    "keras.constraints", "keras.dtype_policies", "keras.ops",
)  # fmt: skip
"""Modules whose objects compute on arrays only."""
PLAIN_SOURCES = (
    "keras.src.layers.", "keras.src.models.", "keras.src.engine.", "keras.src.ops.", "keras.src.activations",
    "keras.src.initializers", "keras.src.regularizers", "keras.src.constraints", "keras.src.dtype_policies",
)  # fmt: skip
"""The same modules under the names that some versions of Keras write."""
WITH_CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "__typespec__")
"""Classes that hold or load code."""
WITH_FILES = ("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup", "FeatureSpace")
"""Classes that may read a file of the computer that opens the model."""
DEEPEST = 200
"""Maximum depth of nested values."""


def check_config(config: Mapping[str, Any], name: str) -> None:
    """Refuse a configuration with anything but plain layers of Keras.

    The losses and metrics of `compile` are not checked, because they are never built.

    Args:
        config: `config.json` of a `.keras` file, or the attribute `model_config` of an `.h5` file.
        name: of the file, for messages.

    Raises:
        ModelError: an object runs code, reads files, or is not of Keras. The message names it and the remedy.
    """
    if not isinstance(config.get("class_name"), str) or not isinstance(config.get("config"), dict):
        msg = f"{name} has no model in its configuration; save the whole model with model.save, not its weights alone"
        raise ModelError(msg)
    model = {key: value for key, value in config.items() if key != "compile_config"}
    for found in _objects(model, name):
        _check_object(found, name)


def layers_in(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List (name, class) of all layers of a checked configuration, also of those inside other layers."""
    inner = [found for found in _objects(config["config"], "the model") if isinstance(found.get("config"), dict)]
    layers = [found for found in inner if "module" not in found or ".layers" in str(found["module"])]
    named = [(str(found["config"].get("name", "")), str(found.get("class_name"))) for found in layers]
    return [(name, kind) for name, kind in named if name and kind != "InputLayer"]


def _objects(value: Any, name: str, depth: int = 0) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    """Yield every JSON object that describes a Python object, the outer ones first."""
    if depth > DEEPEST:
        msg = f"{name} has a configuration more than {DEEPEST} levels deep; build the model of plain layers"
        raise ModelError(msg)
    if isinstance(value, dict):
        if "class_name" in value or "module" in value:
            yield value
        inner: Any = value.values()
    else:
        inner = value if isinstance(value, list) else ()
    for each in inner:
        yield from _objects(each, name, depth + 1)


def _check_object(found: Mapping[str, Any], name: str) -> None:
    kind, module = str(found.get("class_name")), found.get("module")
    if kind in WITH_CODE:
        msg = f"{name} has a {kind} layer, which runs code of its author; replace it by layers of Keras and save again"
    elif kind in WITH_FILES:
        msg = f"{name} has a {kind} layer, which may read other files; leave it out of the model and save again"
    elif not _is_plain(found, module):
        title = found.get("registered_name") or kind
        msg = (
            f"{name} has {title} of {module or 'no module'}, which is not a part of Keras; replace it by layers of "
            "Keras, or export the model to ONNX where its code is"
        )
    else:
        return
    raise ModelError(msg)


def _is_plain(found: Mapping[str, Any], module: object) -> bool:
    """Tell whether an object is of Keras. Old files name no module; Keras then knows its own classes only."""
    registered = found.get("registered_name")
    if "module" not in found:
        return registered is None
    if module == "builtins":  # an activation by its name
        return found.get("class_name") == "function" and str(found.get("config")).isidentifier()
    known = module in PLAIN_MODULES or (isinstance(module, str) and module.startswith(PLAIN_SOURCES))
    return known and registered in {
        None,
        found.get("class_name"),
        found.get("config") if isinstance(found.get("config"), str) else None,
    }
