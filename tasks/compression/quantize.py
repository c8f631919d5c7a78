"""Method `quantize`."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.quantization.learned_step import learn_steps, settle_steps
from stillhouse.models.compression.quantization.mixed import fewest_bits
from stillhouse.models.compression.quantization.overlap import refuse_overlap
from stillhouse.models.compression.quantization.quantize import (
    bits_by_layer,
    fix_tables,
    integer_edit,
    integer_weights,
    quantizable,
    store_trained_integers,
    tables_in,
    with_whole_edges,
)
from stillhouse.models.compression.quantization.rounded_inputs import round_inputs
from stillhouse.models.compression.quantization.rounding import BITS
from stillhouse.models.compression.quantization.smoothing import smooth_inputs
from stillhouse.models.errors import ModelError
from stillhouse.models.training.checkpoint import TEXTS, Architecture
from stillhouse.models.workloads.training_base import Training
from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.recipe.distillation import Distillation
from stillhouse.tasks.recipe.steps import Quantize

FOLDS: tuple[dict[str, Any], ...] = ({"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"})
JUDGED = ("gate", "test")
SMOOTHED = "smoothed_linear"
WATCHED = 256
"""Calibration texts that show how large the inputs of each layer are."""


def quantize(context: StepContext, step: Quantize) -> Compressed:
    """Choose bits, train with them if the recipe asks for it, and store integer weights and activation settings."""
    _refuse_judged_examples(context)
    module, architecture = _smooth(context, step, *context.previous)
    bits = _bits(context, step, module, architecture)
    if unknown := sorted({*step.float_inputs} - {*bits}):
        msg = f"float_inputs names {', '.join(unknown)}; choose from the layers with integer weights: {', '.join(bits)}"
        raise ModelError(msg)
    if step.distillation is not None:
        return _note(step, *_train(context, step.distillation, module, architecture, bits), bits)
    folded, architecture = fold_for_quantizing(module, architecture)
    return _note(step, integer_weights(folded, bits), architecture, bits)


def _smooth(context: StepContext, step: Quantize, module: nn.Module, architecture: Architecture) -> Compressed:
    """Even out the inputs of a text encoder, which are rounded at every call, unless an earlier step has."""
    if architecture.takes != "tokens" or step.activations == "float" or _edited(architecture, SMOOTHED):
        return module, architecture
    layers = smooth_inputs(module, torch.from_numpy(context.component.calibration()[:WATCHED]))
    return module, architecture.with_edits({"edit": SMOOTHED, "layers": layers}) if layers else architecture


def _edited(architecture: Architecture, edit: str) -> bool:
    return any(each["edit"] == edit for each in architecture.edits)


def _note(step: Quantize, whole: nn.Module, architecture: Architecture, bits: Mapping[str, int]) -> Compressed:
    """Record how the integer module is exported. The few activations of a text encoder are scaled at every call."""
    kept = [name for name in quantizable(whole) if name not in bits]
    is_text = architecture.takes in TEXTS and step.activations == "static"
    activations = "dynamic" if is_text else step.activations
    how = {"activations": activations, "calibration": step.calibration, "keep_float": kept}
    if step.float_inputs:
        how["float_inputs"] = list(step.float_inputs)
    return whole, replace(architecture.with_edits(integer_edit(whole, bits)), quantization=how)


def quantize_jointly(workload: Training, contexts: Sequence[StepContext]) -> list[Compressed]:
    """Quantize several components together.

    They share one quality budget, spent in the layers where it saves most bytes.
    """
    step: Quantize = contexts[0].job.settings["step"]
    for context in contexts:
        _refuse_judged_examples(context)
    made = {context.component.name: fold_for_quantizing(*context.previous) for context in contexts}
    modules = {name: module for name, (module, _) in made.items()}
    score_of, progress = workload.scorer(contexts[0].data, "validation"), contexts[0].job.progress
    progress("measuring what fewer bits cost in every layer of every component")
    whole = nn.ModuleDict(modules)
    found = fewest_bits(whole, quantizable(whole), lambda _: score_of(modules), step.max_quality_drop, progress)
    bits = {name: _of_component(found, name) for name in made}
    return [
        _note(step, integer_weights(module, bits[name]), architecture, bits[name])
        for name, (module, architecture) in made.items()
    ]


def _of_component(bits: Mapping[str, int], component: str) -> dict[str, int]:
    prefix = f"{component}."
    return {name.removeprefix(prefix): width for name, width in bits.items() if name.startswith(prefix)}


def _refuse_judged_examples(context: StepContext) -> None:
    judged = {split: context.component.held_out_inputs(split) for split in JUDGED}
    refuse_overlap(context.component.calibration(), judged)


def _bits(context: StepContext, step: Quantize, module: nn.Module, architecture: Architecture) -> dict[str, int]:
    folded, _ = fold_for_quantizing(copy.deepcopy(module), architecture)
    tables = tables_in(folded)
    whole = with_whole_edges(bits_by_layer(folded, BITS.get(step.weights, 8), step.keep_float), tables)
    if step.tables is not None:
        whole |= {name: BITS[step.tables] for name in tables if name in whole}
    if step.weights != "mixed":
        return whole
    context.job.progress("measuring what fewer bits cost in every layer")
    score = context.component.scorer("validation")
    return bits_by_layer(folded, fewest_bits(folded, whole, score, step.max_quality_drop, context.job.progress))


def fold_for_quantizing(module: nn.Module, architecture: Architecture) -> Compressed:
    """Fold the pixel scale and the batch norms, unless an earlier step has folded them.

    Text encoders have no batch norms; only image encoders have a pixel scale.
    """
    if architecture.takes in TEXTS or any(edit in architecture.edits for edit in FOLDS):
        return module, architecture
    if architecture.takes != "image":
        return fold_batch_norm(module), architecture.with_edits(FOLDS[1])
    return fold_batch_norm(fold_pixel_scale(module)), architecture.with_edits(*FOLDS)


def _train(
    context: StepContext,
    distillation: Distillation,
    module: nn.Module,
    architecture: Architecture,
    bits: Mapping[str, int],
) -> Compressed:
    """Train with fake-quantized weights, fold, and keep the integers that the training found."""
    if any(edit in architecture.edits for edit in FOLDS):
        msg = "a folded network has no batch norms to train with; remove the step fold, quantize folds by itself"
        raise ModelError(msg)
    integers = fix_tables(module, bits)
    learner = learn_steps(module, {name: width for name, width in bits.items() if name not in integers})
    with round_inputs(learner, bits if architecture.takes == "tokens" else ()):
        context.learn(learner, distillation)
    integers |= settle_steps(module)
    folded, architecture = fold_for_quantizing(module, architecture)
    return store_trained_integers(folded, bits, integers), architecture
