"""Pruning: zero single weights by mask, or remove whole channels with everything coupled to them."""

import copy
from collections.abc import Callable

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn.utils import prune

from models.errors import ModelError

PRUNABLE = (nn.Conv2d, nn.Linear)
ITERATIONS = 20
"""Channels go in this many small rounds, so the first to fall below the target is close to it."""


def prune_global_l1(module: nn.Module, sparsity: float) -> int:
    """Zero the share `sparsity` of all weights with the smallest magnitudes, in place, and drop the masks.

    Returns:
        How many weights are zero now.

    Raises:
        ModelError: no weight was changed.
    """
    layers = [(layer, "weight") for layer in module.modules() if isinstance(layer, PRUNABLE)]
    before = zeros(module)
    if layers:
        prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=sparsity)
    for layer, name in layers:
        prune.remove(layer, name)
    if zeros(module) == before:
        msg = f"prune_unstructured changed no weight of this model at sparsity {sparsity}; raise it or remove the step"
        raise ModelError(msg)
    return zeros(module)


def zeros(module: nn.Module) -> int:
    """Count the zero weights of convolutions and linear layers."""
    return sum(int((m.weight == 0).sum()) for m in module.modules() if isinstance(m, PRUNABLE))


def prune_channels(  # noqa: PLR0913 - what to prune, how far, by which measure
    module: nn.Module,
    example: Tensor,
    macs: float,
    *,
    importance: tp.importance.Importance,
    round_to: int,
    gradients: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Return a copy whose multiply-accumulates are at most the share `macs` of the original's.

    Args:
        module: the network; its last linear layer keeps its outputs.
        example: one input (1, C, H, W).
        macs: share of multiply-accumulates to keep.
        importance: Torch-Pruning's measure of a channel's worth.
        round_to: channel counts stay multiples of this.
        gradients: fills the module's gradients before each round, for measures that need them.

    Raises:
        ModelError: the target cannot be met; says the nearest that can.
    """
    pruned = copy.deepcopy(module).eval()
    original, _ = tp.utils.count_ops_and_params(pruned, example)
    pruner = _pruner(pruned, example, importance, round_to)
    reached = original
    for _ in range(ITERATIONS):
        if gradients is not None:
            gradients(pruned)
        pruner.step()
        pruned.zero_grad()
        reached, _ = tp.utils.count_ops_and_params(pruned, example)
        if reached <= macs * original:
            return pruned
    msg = (
        f"pruning cannot reach {macs:.0%} of the multiply-accumulates with channels in multiples of {round_to}; "
        f"the nearest is {reached / original:.0%}: raise macs or lower round_to"
    )
    raise ModelError(msg)


def _pruner(
    module: nn.Module, example: Tensor, importance: tp.importance.Importance, round_to: int
) -> tp.pruner.BasePruner:
    outputs = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1:]
    return tp.pruner.BasePruner(
        module,
        example,
        importance=importance,
        global_pruning=False,
        pruning_ratio=0.9,
        max_pruning_ratio=0.9,
        iterative_steps=ITERATIONS,
        ignored_layers=outputs,
        round_to=round_to,
    )


IMPORTANCES: dict[str, Callable[[], tp.importance.Importance]] = {
    "magnitude": lambda: tp.importance.GroupMagnitudeImportance(p=2),
    "taylor": tp.importance.GroupTaylorImportance,
}


def macs_and_parameters(module: nn.Module, example: Tensor) -> tuple[int, int]:
    """Count multiply-accumulates of one input, and weights and biases, integer ones too."""
    with torch.no_grad():
        macs, _ = tp.utils.count_ops_and_params(copy.deepcopy(module), example)
    tensors = [getattr(layer, name, None) for layer in module.modules() for name in ("weight", "bias")]
    return int(macs), sum(tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))
