"""Methods `drop_layers`, `low_rank` and `fold`: the same function, or nearly, from a simpler network."""

from models.compression.fold import fold_batch_norm, fold_pixel_scale
from tasks.methods.bench import Bench, Compressed
from tasks.recipe_steps import DropLayers, Fold, LowRank


def drop_layers(bench: Bench, step: DropLayers) -> Compressed:
    """Take out the whole layers that matter least, then recover."""
    raise NotImplementedError


def low_rank(bench: Bench, step: LowRank) -> Compressed:
    """Factorise the layers where it saves numbers, then recover."""
    raise NotImplementedError


def fold(bench: Bench, _step: Fold) -> Compressed:
    """Fold the pixel scale and the batch norms."""
    module, architecture = bench.previous
    folded = fold_batch_norm(fold_pixel_scale(module))
    return folded, architecture.edited({"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"})
