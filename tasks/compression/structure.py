"""Methods `drop_layers`, `low_rank` and `fold`: a simpler network computes the same function, or nearly the same."""

import torch

from stillhouse.models.compression import depth
from stillhouse.models.compression import low_rank as factors
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.recipe.steps import DropLayers, Fold, LowRank


def drop_layers(context: StepContext, step: DropLayers) -> Compressed:
    """Remove the whole layers that matter least, then fine-tune."""
    module, architecture = context.previous
    names = depth.least_harmful(module, torch.from_numpy(context.component.calibration()), step.layers)
    context.job.progress(f"taking out {', '.join(names)}")
    edit = depth.drop_edit(module, architecture.example(), names)
    shallower = depth.drop_layers(module, names, edit.get("tuples"))
    return context.learn(shallower, step.finetune), architecture.with_edits(edit)


def low_rank(context: StepContext, step: LowRank) -> Compressed:
    """Factorise the layers where this saves multiply-accumulate operations, then fine-tune."""
    module, architecture = context.previous
    ranks = factors.ranks_for(module, architecture.example(), step.energy, step.layers)
    context.job.progress(f"factorising {', '.join(f'{name} to {rank}' for name, rank in ranks.items())}")
    thin = factors.low_rank(module, ranks)
    return context.learn(thin, step.finetune), architecture.with_edits({"edit": "factorise", "ranks": ranks})


def fold(context: StepContext, _step: Fold) -> Compressed:
    """Fold the pixel scale and the batch norms."""
    module, architecture = context.previous
    folded = fold_batch_norm(fold_pixel_scale(module))
    return folded, architecture.with_edits({"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"})
