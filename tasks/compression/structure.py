"""Methods `drop_layers`, `low_rank` and `fold`: a simpler network computes the same function, or nearly the same."""

import torch

from stillhouse.models.compression import depth
from stillhouse.models.compression import low_rank as factors
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.recipe.steps import DropLayers, Fold, LowRank


def drop_layers(bench: StepContext, step: DropLayers) -> Compressed:
    """Remove the whole layers that matter least, then fine-tune."""
    module, architecture = bench.previous
    names = depth.least_harmful(module, torch.from_numpy(bench.component.calibration()), step.layers)
    bench.job.progress(f"taking out {', '.join(names)}")
    shallower = depth.drop_layers(module, names)
    return bench.learn(shallower, step.finetune), architecture.edited({"edit": "drop_layers", "names": names})


def low_rank(bench: StepContext, step: LowRank) -> Compressed:
    """Factorise the layers where this saves multiply-accumulate operations, then fine-tune."""
    module, architecture = bench.previous
    ranks = factors.ranks_for(module, architecture.example(), step.energy, step.layers)
    bench.job.progress(f"factorising {', '.join(f'{name} to {rank}' for name, rank in ranks.items())}")
    thin = factors.low_rank(module, ranks)
    return bench.learn(thin, step.finetune), architecture.edited({"edit": "factorise", "ranks": ranks})


def fold(bench: StepContext, _step: Fold) -> Compressed:
    """Fold the pixel scale and the batch norms."""
    module, architecture = bench.previous
    folded = fold_batch_norm(fold_pixel_scale(module))
    return folded, architecture.edited({"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"})
