"""Cost of a module before export: multiply-accumulates and parameters."""

import copy

import torch
import torch_pruning as tp
from torch import Tensor, nn


def macs_and_parameters(module: nn.Module, example: Tensor) -> tuple[int, int]:
    """Count the multiply-accumulates of one input, and the weights and biases, integer weights included."""
    with torch.no_grad():
        macs, _ = tp.utils.count_ops_and_params(copy.deepcopy(module), example)
    tensors = [getattr(layer, name, None) for layer in module.modules() for name in ("weight", "bias")]
    return int(macs), sum(tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))
