"""Fold batch norms and the pixel scale into the neighbouring layers: fewer operators, the same function."""

import copy

import torch
from torch import nn
from torch.fx.experimental.optimization import fuse

from stillhouse.models.compression.fold_watched import fold_watched
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.library.transformers_classifier import TransformersClassifier
from stillhouse.models.networks.pixels import Pixels, UnscaledPixels


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode with batch norms folded into the convolutions before them.

    If there are any batch norms in a network of ours, the copy is a traced module.
    """
    if not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in module.modules()):  # noqa: SLF001 - the only name of them all
        return copy.deepcopy(module.eval())
    for network in module.modules():
        if isinstance(network, TransformersClassifier):
            return fold_watched(module, network, network.example())
    return fuse(module.eval(), inplace=False, no_trace=False)


@torch.no_grad()
def fold_pixel_scale(module: nn.Module) -> nn.Module:
    """Fold the pixel scale into the first convolution of `Sequential(Pixels, network)`, in place.

    Raises:
        ModelError: the module does not start with these layers.
    """
    first = next((layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)), None)
    if not isinstance(module, nn.Sequential) or not isinstance(module[0], Pixels) or first is None:
        msg = "only a network that starts with Pixels and a layer with weights can take over the pixel scale"
        raise ModelError(msg)
    first.weight /= module[0].scale
    module[0] = UnscaledPixels(module[0].times, module[0].background)
    return module
