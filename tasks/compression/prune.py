"""Methods `prune_unstructured` and `prune_structured`."""

import copy
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from stillhouse.models.compression.cost import macs_and_parameters
from stillhouse.models.compression.edits import layer_sizes
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.pruning.channels import Selection, Target, prune_in_rounds
from stillhouse.models.compression.pruning.weights import (
    Scores,
    magnitude,
    make_permanent,
    movement,
    prune_pattern,
    prune_weights,
)
from stillhouse.models.compression.quantization.quantize import integer_weights
from stillhouse.models.onnx.export import export_model
from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.judging.clean_process import measure
from stillhouse.tasks.recipe.distillation import Distillation
from stillhouse.tasks.recipe.steps import PruneStructured, PruneUnstructured


def prune_unstructured(context: StepContext, step: PruneUnstructured) -> Compressed:
    """Set the least important weights to zero. If the recipe asks for it, fine-tune with the masks on."""
    module, architecture = context.previous
    scores = magnitude(module) if step.measure == "magnitude" else _movement(context, step.finetune, module)
    if step.pattern is not None:
        prune_pattern(module, scores, step.pattern)
    elif step.sparsity is not None:
        prune_weights(module, scores, step.sparsity, step.scope)
    if step.finetune is not None:
        context.learn(module, step.finetune)
    make_permanent(module)
    return module, architecture


def _movement(context: StepContext, distillation: Distillation | None, module: nn.Module) -> Scores:
    assert distillation is not None  # noqa: S101 - the recipe refuses movement without finetune
    feed, objective = context.taught(distillation)
    context.job.progress("watching where the weights move")
    training = distillation.training
    return movement(module, feed.epoch(0, training.batch_size), objective, training.learning_rate)


def prune_structured(context: StepContext, step: PruneStructured) -> Compressed:
    """Remove channels in rounds, and fine-tune after each round."""
    module, architecture = context.previous
    distillation = _share_of(step.finetune, step.rounds)
    pruned = prune_in_rounds(
        module,
        architecture.example(),
        _target(context, step),
        Selection(step.importance, step.round_to, _gradients(context, step)),
        step.rounds,
        lambda pruned, part: context.learn(pruned, distillation, _part(pruned, part)),
    )
    return pruned, architecture.with_edits({"edit": "resize", "sizes": layer_sizes(pruned)})


def _share_of(distillation: Distillation, rounds: int) -> Distillation:
    """Return the distillation with the epochs of one round."""
    training = distillation.training.model_copy(update={"epochs": max(distillation.training.epochs // rounds, 1)})
    return distillation.model_copy(update={"training": training})


def _part(pruned: nn.Module, part: int) -> str:
    """Name a checkpoint; the name includes the remaining channels.

    After a kill, a measured time may stop at other channels.
    """
    digest = hashlib.sha256(json.dumps(layer_sizes(pruned)).encode()).hexdigest()
    return f"training_{part}_{digest[:16]}"


def _target(context: StepContext, step: PruneStructured) -> Target:
    module, architecture = context.previous
    if step.macs is not None:
        example = architecture.example()
        whole, _ = macs_and_parameters(module, example)
        unit = "{:.0%} of the multiply-accumulates"
        return Target("macs", step.macs, unit, lambda left: macs_and_parameters(left, example)[0] / whole)
    if step.bytes is not None:
        return Target("bytes", step.bytes, "{:.0f} bytes", lambda left: _export(context, left).stat().st_size)
    assert step.milliseconds is not None  # noqa: S101 - the recipe wants one of the three
    return Target("milliseconds", step.milliseconds, "{:.4f} milliseconds", lambda left: _milliseconds(context, left))


def _export(context: StepContext, module: nn.Module) -> Path:
    """Write the integer file that quantizing this module now would give."""
    _, architecture = context.previous
    ready = copy.deepcopy(module).eval()
    if not any(edit["edit"] == "fold_pixel_scale" for edit in architecture.edits):
        ready = fold_pixel_scale(ready)
    static = {"activations": "static", "calibration": "minmax", "keep_float": []}
    path = context.job.scratch / "measured.onnx"
    export_model(
        integer_weights(fold_batch_norm(ready), 8),
        replace(architecture, quantization=static, packing=None),
        context.component.calibration(),
        path,
    )
    return path


def _milliseconds(context: StepContext, module: nn.Module) -> float:
    raw = context.job.scratch / "input.npy"
    np.save(raw, context.component.calibration()[:1])
    request = {"file": str(_export(context, module)), "input": str(raw)}
    milliseconds = float(
        measure("stillhouse.models.measurement.quick_latency", request, context.job.scratch)["milliseconds"]
    )
    context.job.progress(f"one image takes {milliseconds:.4f} ms")
    return milliseconds


def _gradients(context: StepContext, step: PruneStructured) -> Callable[[nn.Module], None]:
    if step.importance != "taylor":
        return nn.Module.zero_grad
    feed, objective = context.taught(step.finetune)

    def fill(module: nn.Module) -> None:
        for batch, _ in zip(feed.epoch(0, 256), range(4), strict=False):
            objective(module, batch).backward()

    return fill
