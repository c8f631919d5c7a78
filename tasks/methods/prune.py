"""Methods `prune_unstructured` and `prune_structured`."""

from collections.abc import Callable

from torch import nn

from models.compression.edits import layer_sizes
from models.compression.prune import IMPORTANCES, prune_channels, prune_global_l1
from tasks.methods.bench import Bench, Compressed
from tasks.recipe_steps import PruneStructured, PruneUnstructured


def prune_unstructured(bench: Bench, step: PruneUnstructured) -> Compressed:
    """Zero the smallest weights over all layers."""
    module, architecture = bench.previous
    prune_global_l1(module, step.sparsity or 0.0)
    return module, architecture


def prune_structured(bench: Bench, step: PruneStructured) -> Compressed:
    """Remove channels, then recover."""
    module, architecture = bench.previous
    pruned = prune_channels(
        module,
        architecture.example(),
        step.macs or 0.0,
        importance=IMPORTANCES[step.importance](),
        round_to=step.round_to,
        gradients=_gradients(bench, step),
    )
    resized = architecture.edited({"edit": "resize", "sizes": layer_sizes(pruned)})
    return bench.learn(pruned, step.recovery), resized


def _gradients(bench: Bench, step: PruneStructured) -> Callable[[nn.Module], None] | None:
    if step.importance != "taylor":
        return None
    feed, objective = bench.taught(step.recovery)

    def fill(module: nn.Module) -> None:
        for batch, _ in zip(feed.epoch(0, 256), range(4), strict=False):
            objective(module, batch).backward()

    return fill
