"""Cost of a module before export: multiply-accumulates and parameters."""

import copy

import torch
import torch_pruning as tp
from torch import Tensor, nn


def macs_and_parameters(module: nn.Module, example: Tensor) -> tuple[int, int]:
    """Count the multiply-accumulates of one input, and the weights and biases, integer weights included.

    Parameters that stand alone, such as the vectors of places, count too.
    """
    with torch.no_grad():
        macs, _ = tp.utils.count_ops_and_params(copy.deepcopy(module), example)
    tensors = [getattr(layer, name, None) for layer in module.modules() for name in ("weight", "bias")]
    tensors += [tensor for name, tensor in module.named_parameters() if _stands_alone(name)]
    return int(macs), sum(tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))


def _stands_alone(name: str) -> bool:
    """Tell whether a parameter is no weight or bias of a layer, and no part of an integer weight."""
    return name.rpartition(".")[2] not in {"weight", "bias"} and ".parametrizations." not in name
