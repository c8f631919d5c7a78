"""Structural edits as data: a record of each change to the layers, applied again when a model is loaded."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from stillhouse.models.compression.depth import drop_layers
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.low_rank import factorise
from stillhouse.models.compression.quantization.quantize import integer_weights
from stillhouse.models.compression.quantization.smoothing import smoothed_linear

_SIZES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("in_channels", "out_channels", "groups"),
    nn.BatchNorm2d: ("num_features",),
    nn.Linear: ("in_features", "out_features"),
    nn.LayerNorm: ("normalized_shape",),
    nn.Embedding: ("embedding_dim",),
}
Sizes = dict[str, dict[str, int | list[int]]]
"""Layer -> its sizes. A parameter that stands alone, such as the vectors of places, has its shape."""


def layer_sizes(module: nn.Module) -> Sizes:
    """List the sizes of every layer that a structural edit can resize, by layer name."""
    found = {name: _sizes_of(layer) for name, layer in module.named_modules()}
    return {name: sizes for name, sizes in found.items() if sizes}


def _sizes_of(layer: nn.Module) -> dict[str, int | list[int]]:
    for kind, sizes in _SIZES.items():
        if isinstance(layer, kind):
            return {size: _number(getattr(layer, size)) for size in sizes}
    return {name: [*parameter.shape] for name, parameter in layer.named_parameters(recurse=False)}


def resize(module: nn.Module, sizes: Mapping[str, Mapping[str, int | list[int]]]) -> nn.Module:
    """Give layers the recorded sizes. Their weights are undefined until a state is loaded."""
    for name, size in sizes.items():
        layer = module.get_submodule(name)
        for attribute, value in size.items():
            if not isinstance(value, list):
                setattr(layer, attribute, value)
            elif value != [*layer.get_parameter(attribute).shape]:
                setattr(layer, attribute, nn.Parameter(torch.zeros(value)))
        _reshape(layer)
    return module


def _number(size: int | tuple[int, ...]) -> int:
    return size if isinstance(size, int) else size[0]


def _reshape(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
        layer.weight = nn.Parameter(torch.zeros(shape))
        layer.bias = None if layer.bias is None else nn.Parameter(torch.zeros(layer.out_channels))
    elif isinstance(layer, nn.Linear):
        layer.weight = nn.Parameter(torch.zeros(layer.out_features, layer.in_features))
        layer.bias = None if layer.bias is None else nn.Parameter(torch.zeros(layer.out_features))
    elif isinstance(layer, nn.BatchNorm2d):
        layer.__init__(layer.num_features, layer.eps, layer.momentum)  # type: ignore[misc]
    elif isinstance(layer, nn.LayerNorm):
        nn.LayerNorm.__init__(layer, layer.normalized_shape, layer.eps, bias=layer.bias is not None)
    elif isinstance(layer, nn.Embedding):
        layer.weight = nn.Parameter(torch.zeros(layer.num_embeddings, layer.embedding_dim))


EDITS: dict[str, Callable[..., nn.Module]] = {
    "drop_layers": drop_layers,
    "factorise": factorise,
    "fold_batch_norm": fold_batch_norm,
    "fold_pixel_scale": fold_pixel_scale,
    "integer_weights": integer_weights,
    "resize": resize,
    "smoothed_linear": smoothed_linear,
}
