"""Unstructured pruning: masks zero single weights. The masks stay on during training until they are made permanent.

A score says how important a weight is (larger = keep). A mask says which weights stay. `channels` prunes channels.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from stillhouse.models.errors import DivergedError, ModelError

Layer = nn.Conv2d | nn.Linear
"""Layers whose weights can be pruned."""
Scores = dict[str, Tensor]
"""Layer name -> score of every weight, in the shape of the weight."""


def prunable(module: nn.Module) -> dict[str, Layer]:
    """Find the convolutions and linear layers, by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, Layer)}


def magnitude(module: nn.Module) -> Scores:
    """Score weights by their absolute values."""
    return {name: layer.weight.detach().abs() for name, layer in prunable(module).items()}


def movement(
    module: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    objective: Callable[[nn.Module, tuple[Tensor, ...]], Tensor],
    learning_rate: float,
) -> Scores:
    """Score weights by how far training moves them away from zero (Sanh et al. 2020, arXiv:2005.07683).

    The score is `-sum(weight * gradient)` over the batches. After each batch, a copy of the module takes one plain step
    of gradient descent. Weights that are zero already have the lowest score.

    Args:
        module: the network. It is not changed.
        batches: training batches of the copy.
        objective: loss of one batch, a scalar.
        learning_rate: size of the steps.

    Raises:
        DivergedError: a score is not finite.
    """
    moving = copy.deepcopy(module).train()
    layers = prunable(moving)
    scores = {name: torch.zeros_like(layer.weight.detach()) for name, layer in layers.items()}
    optimizer = torch.optim.SGD([p for p in moving.parameters() if p.requires_grad], learning_rate)
    for batch in batches:
        optimizer.zero_grad()
        objective(moving, batch).backward()
        for name, layer in layers.items():
            assert layer.weight.grad is not None  # noqa: S101 - backward has just run
            scores[name] -= layer.weight.detach() * layer.weight.grad
        optimizer.step()
    if not all(score.isfinite().all() for score in scores.values()):
        msg = f"movement scores became NaN or infinite; lower the recovery's learning rate (now {learning_rate})"
        raise DivergedError(msg)
    return {name: scores[name].masked_fill(layer.weight.eq(0), -torch.inf) for name, layer in prunable(module).items()}


class LowestScores(prune.BasePruningMethod):
    """Mask the share `amount` of weights with the lowest scores.

    Torch's own method would use the absolute values of the scores.
    """

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        """Store the share of weights to mask."""
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return a mask with zeros at the lowest of the scores `t`."""
        mask = default_mask.clone(memory_format=torch.contiguous_format)
        mask.view(-1)[torch.topk(t.reshape(-1), round(self.amount * t.numel()), largest=False).indices] = 0
        return mask


def prune_weights(module: nn.Module, scores: Scores, sparsity: float, scope: Literal["global", "layer"]) -> int:
    """Mask the share `sparsity` of weights with the lowest scores, over all layers or in each layer, in place.

    Returns:
        Number of zero weights after pruning.

    Raises:
        ModelError: no weight was changed, or a layer has no weight left.
    """
    before = zeros(module)
    layers = [(name, layer, "weight") for name, layer in prunable(module).items()]
    for group in [layers] if scope == "global" else [[layer] for layer in layers]:
        prune.global_unstructured(
            [(layer, weight) for _, layer, weight in group],
            pruning_method=LowestScores,
            importance_scores={(layer, weight): scores[name] for name, layer, weight in group},
            amount=sparsity,
        )
    for name, layer, _ in layers:
        if not layer.weight.any():
            msg = f"sparsity {sparsity} would empty layer {name!r}; lower sparsity or use the scope 'layer'"
            raise ModelError(msg)
    return _newly_zero(module, before, f"sparsity {sparsity}; raise it")


def prune_pattern(module: nn.Module, scores: Scores, pattern: str) -> int:
    """Keep N of every M consecutive weights of a row, and mask the rest, in place (arXiv:2104.08378).

    The method is from Mishra et al. 2021. A row is the flattened weight of one output. If M does not divide its length,
    the remaining weights at the end stay.

    Args:
        module: the network.
        scores: score of each weight.
        pattern: "N:M".

    Returns:
        Number of zero weights after pruning.

    Raises:
        ModelError: no weight was changed.
    """
    keep, of = map(int, pattern.split(":"))
    if keep >= of:
        msg = f"pattern {pattern} keeps every weight; make its first number smaller than its second"
        raise ModelError(msg)
    before = zeros(module)
    for name, layer in prunable(module).items():
        prune.custom_from_mask(layer, "weight", _pattern_mask(scores[name], keep, of))
    return _newly_zero(module, before, f"pattern {pattern}; keep fewer weights")


def _pattern_mask(scores: Tensor, keep: int, of: int) -> Tensor:
    rows_OL = scores.flatten(1)
    outputs, length = rows_OL.shape
    whole = length - length % of
    groups_GM = rows_OL[:, :whole].reshape(-1, of)
    mask_OL = torch.ones_like(rows_OL)
    kept_GN = groups_GM.topk(keep, dim=1).indices
    mask_OL[:, :whole] = torch.zeros_like(groups_GM).scatter(1, kept_GN, 1.0).reshape(outputs, whole)
    return mask_OL.reshape(scores.shape)


def make_permanent(module: nn.Module) -> int:
    """Write the zeros into the weights and remove the masks, in place. Returns the number of zero weights."""
    for layer in prunable(module).values():
        prune.remove(layer, "weight")
    return zeros(module)


def zeros(module: nn.Module) -> int:
    """Count the zero weights of convolutions and linear layers, masked weights included."""
    return sum(int(layer.weight.eq(0).sum()) for layer in prunable(module).values())


def _newly_zero(module: nn.Module, before: int, amount: str) -> int:
    if zeros(module) == before:
        msg = f"prune_unstructured changed no weight of this model at {amount} or remove the step"
        raise ModelError(msg)
    return zeros(module)
