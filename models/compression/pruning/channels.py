"""Structured pruning: remove whole channels and heads with all coupled layers (Fang et al. 2023, arXiv:2301.12900).

Torch-Pruning's dependency graph knows which layers are coupled. The caller chooses the measure that ends the pruning.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch_pruning as tp
from torch import Tensor, nn

from stillhouse.models.compression.edits import layer_sizes
from stillhouse.models.compression.pruning.heads import heads_by_layer, prune_heads
from stillhouse.models.errors import ModelError

ITERATIONS = 20
"""Number of small pruning rounds. With small rounds, the first model below the target is close to the target."""
IMPORTANCES: dict[str, Callable[[], tp.importance.Importance]] = {
    "magnitude": lambda: tp.importance.GroupMagnitudeImportance(p=2),
    "taylor": tp.importance.GroupTaylorImportance,
    "lamp": tp.importance.LAMPImportance,
}
"""Importance name -> class: norm, first-order Taylor of the loss (arXiv:1906.10771), or LAMP (arXiv:2010.07611)."""


@dataclass(frozen=True)
class Target:
    """Where pruning ends."""

    name: str
    """Name of the target in the recipe."""
    most: float
    unit: str
    """Format of a value, such as `{:.0f} bytes`."""
    measure: Callable[[nn.Module], float]
    """Measures a module. It does not change the module."""

    def spell(self, value: float) -> str:
        """Write a value with its unit."""
        return self.unit.format(value)


@dataclass(frozen=True)
class Selection:
    """Which channels are removed first."""

    importance: str
    """A key of IMPORTANCES."""
    round_to: int
    """Channel counts stay multiples of this number."""
    gradients: Callable[[nn.Module], None] = nn.Module.zero_grad
    """Fills the module's gradients before each small round, for an importance that needs them."""


def prune_channels(module: nn.Module, example: Tensor, target: Target, selection: Selection) -> nn.Module:
    """Return a pruned copy that meets the target. Its last linear layer keeps its outputs.

    Args:
        module: the network.
        example: one input (1, C, H, W).
        target: where pruning ends.
        selection: which channels are removed first.

    Raises:
        ModelError: the model meets the target already (the message gives its value), or no pruning can meet the target
            (the message gives the nearest value).
    """
    pruned = copy.deepcopy(module).eval()
    nearest, sizes = target.measure(pruned), layer_sizes(pruned)
    if nearest <= target.most:
        msg = f"the model is at {target.spell(nearest)} already; lower {target.name} or remove the step"
        raise ModelError(msg)
    pruner, heads = _pruner(pruned, example, selection), heads_by_layer(pruned)
    for iteration in range(1, ITERATIONS + 1):
        selection.gradients(pruned)
        with _refusing_breakage():
            pruner.step()
            prune_heads(pruner, heads, iteration / ITERATIONS)
        pruned.zero_grad()
        if layer_sizes(pruned) != sizes:
            with _refusing_breakage():
                reached, sizes = target.measure(pruned), layer_sizes(pruned)
            if reached <= target.most:
                return pruned
            nearest = min(nearest, reached)
    msg = (
        f"pruning cannot reach {target.spell(target.most)} with channels in multiples of {selection.round_to}; "
        f"the nearest is {target.spell(nearest)}: raise {target.name} or lower round_to"
    )
    raise ModelError(msg)


@contextmanager
def _refusing_breakage() -> Iterator[None]:
    """Turn what torch raises into a sentence: a network may couple its channels in a way that no graph shows."""
    try:
        yield
    except (RuntimeError, IndexError) as error:
        msg = (
            f"the network does not run without some of its channels ({' '.join(str(error).split())[:200]}); "
            "remove prune_structured, and use drop_layers or distil"
        )
        raise ModelError(msg) from error


def prune_in_rounds(  # noqa: PLR0913, PLR0917 - what, how far, in how many parts
    module: nn.Module,
    example: Tensor,
    target: Target,
    selection: Selection,
    rounds: int,
    recover: Callable[[nn.Module, int], nn.Module],
) -> nn.Module:
    """Prune to the target in equal parts, and train the model again after each part.

    Args:
        module: the network.
        example: one input (1, C, H, W).
        target: where the last part ends.
        selection: which channels are removed first.
        rounds: number of parts.
        recover: trains the pruned module after a part. Its argument is the number of the part, from 1.

    Raises:
        ModelError: see `prune_channels`.
    """
    start = target.measure(module)
    for part in range(1, rounds + 1):
        goal = replace(target, most=target.most + (start - target.most) * (rounds - part) / rounds)
        if part == 1 or target.measure(module) > goal.most:  # a part may have overshot the next part's goal
            module = prune_channels(module, example, goal, selection)
        module = recover(module, part)
    return module


def _pruner(module: nn.Module, example: Tensor, selection: Selection) -> tp.pruner.BasePruner:
    outputs = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1:]
    with warnings.catch_warnings():  # it prunes the last dimension of bare parameters, as it should
        warnings.simplefilter("ignore", UserWarning)
        return _base_pruner(module, example, selection, outputs)


def _base_pruner(
    module: nn.Module, example: Tensor, selection: Selection, outputs: list[nn.Linear]
) -> tp.pruner.BasePruner:
    return tp.pruner.BasePruner(
        module,
        example,
        importance=IMPORTANCES[selection.importance](),
        # Within one layer, LAMP gives the same order as the magnitude.
        # Its purpose is to compare channels of different layers.
        global_pruning=selection.importance == "lamp",
        pruning_ratio=0.9,
        max_pruning_ratio=0.9,
        iterative_steps=ITERATIONS,
        ignored_layers=outputs,
        round_to=selection.round_to,
        num_heads=heads_by_layer(module),
        prune_head_dims=False,
    )
