"""Layers of a Keras file or a SavedModel, from the names and shapes of its tensors."""

from collections.abc import Iterable, Sequence

from stillhouse.models.inspection.layers import Kind, Layer

CONTAINERS = {"layers", "model_weights", "_layer_checkpoint_dependencies", "variables", ".ATTRIBUTES", "VARIABLE_VALUE"}
"""Parts of a tensor's path that say nothing about the layer."""


def layers_from(tensors: Iterable[tuple[str, Sequence[int], int]]) -> list[Layer]:
    """Describe tensors as layers.

    Args:
        tensors: path in the file, shape in the layout of Keras, and bytes of each.
    """
    return [_layer(path, tuple(shape), size) for path, shape, size in tensors]


def _layer(path: str, shape: tuple[int, ...], size: int) -> Layer:
    words = [word for word in path.split("/") if word not in CONTAINERS]
    return Layer(".".join(words), *_kind_of(path, shape), size)


def _kind_of(path: str, shape: tuple[int, ...]) -> tuple[Kind, tuple[int, ...]]:
    """Return the kind and the shape in torch's order: outputs, inputs, kernel."""
    if len(shape) == 2:  # noqa: PLR2004 - a matrix (I, O), or a table (rows, width)
        return ("embedding", shape) if "embedding" in path else ("linear", shape[::-1])
    if len(shape) == 4 and _is_depthwise(path, shape):  # noqa: PLR2004 - a kernel (KH, KW, C, M)
        return "depthwise", (shape[2] * shape[3], 1, *shape[:2])
    if len(shape) in {3, 4}:  # a kernel (K..., I, O)
        return "convolution", (shape[-1], shape[-2], *shape[:-2])
    return ("norm" if len(shape) == 1 else "other"), shape


def _is_depthwise(path: str, shape: tuple[int, ...]) -> bool:
    """Tell by the name, or, where a SavedModel has none, by a single output for many inputs."""
    return "depthwise" in path or shape[3] == 1 < shape[2] or ("separable" in path and path.endswith("vars/0"))
