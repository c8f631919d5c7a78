"""Method `quantize`."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.quantization.learned_step import learn_steps, settle_steps
from stillhouse.models.compression.quantization.mixed import fewest_bits
from stillhouse.models.compression.quantization.overlap import refuse_overlap
from stillhouse.models.compression.quantization.quantize import (
    bits_by_layer,
    integer_edit,
    integer_weights,
    quantizable,
    trained_integers,
    with_whole_edges,
)
from stillhouse.models.compression.quantization.rounding import BITS
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.ngrams import tables_of
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.workloads.training_base import Training
from stillhouse.tasks.compression.step_context import Compressed, StepContext
from stillhouse.tasks.recipe.distillation import Distillation
from stillhouse.tasks.recipe.steps import Quantize

FOLDS: tuple[dict[str, Any], ...] = ({"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"})
JUDGED = ("gate", "test")


def quantize(bench: StepContext, step: Quantize) -> Compressed:
    """Choose bits, train with them if the recipe asks for it, and store integer weights and activation settings."""
    _refuse_judged_examples(bench)
    module, architecture = bench.previous
    bits = _bits(bench, step, module, architecture)
    if step.distillation is not None:
        return _noted(step, *_trained(bench, step.distillation, module, architecture, bits), bits)
    folded, architecture = fold_for_quantizing(module, architecture)
    return _noted(step, integer_weights(folded, bits), architecture, bits)


def _noted(step: Quantize, whole: nn.Module, architecture: Architecture, bits: Mapping[str, int]) -> Compressed:
    """Record how the integer module is exported. The few activations of a text encoder are scaled at every call."""
    kept = [name for name in quantizable(whole) if name not in bits]
    is_text = architecture.takes == "text" and step.activations == "static"
    activations = "dynamic" if is_text else step.activations
    how = {"activations": activations, "calibration": step.calibration, "keep_float": kept}
    return whole, replace(architecture.edited(integer_edit(whole, bits)), quantization=how)


def quantize_jointly(workload: Training, benches: Sequence[StepContext]) -> list[Compressed]:
    """Quantize several components together.

    They share one quality budget, spent in the layers where it saves most bytes.
    """
    step: Quantize = benches[0].job.settings["step"]
    for bench in benches:
        _refuse_judged_examples(bench)
    made = {bench.component.name: fold_for_quantizing(*bench.previous) for bench in benches}
    modules = {name: module for name, (module, _) in made.items()}
    score_of, progress = workload.scorer(benches[0].data, "validation"), benches[0].job.progress
    progress("measuring what fewer bits cost in every layer of every component")
    whole = nn.ModuleDict(modules)
    found = fewest_bits(whole, quantizable(whole), lambda _: score_of(modules), step.max_quality_drop, progress)
    bits = {name: _of_component(found, name) for name in made}
    return [
        _noted(step, integer_weights(module, bits[name]), architecture, bits[name])
        for name, (module, architecture) in made.items()
    ]


def _of_component(bits: Mapping[str, int], component: str) -> dict[str, int]:
    prefix = f"{component}."
    return {name.removeprefix(prefix): width for name, width in bits.items() if name.startswith(prefix)}


def _refuse_judged_examples(bench: StepContext) -> None:
    judged = {split: bench.component.judged(split) for split in JUDGED}
    refuse_overlap(bench.component.calibration(), judged)


def _bits(bench: StepContext, step: Quantize, module: nn.Module, architecture: Architecture) -> dict[str, int]:
    folded, _ = fold_for_quantizing(copy.deepcopy(module), architecture)
    whole = with_whole_edges(bits_by_layer(folded, BITS.get(step.weights, 8), step.keep_float), tables_of(folded))
    if step.weights != "mixed":
        return whole
    bench.job.progress("measuring what fewer bits cost in every layer")
    score = bench.component.scorer("validation")
    return bits_by_layer(folded, fewest_bits(folded, whole, score, step.max_quality_drop, bench.job.progress))


def fold_for_quantizing(module: nn.Module, architecture: Architecture) -> Compressed:
    """Fold the pixel scale and the batch norms, unless an earlier step has folded them.

    Text encoders have no batch norms; only image encoders have a pixel scale.
    """
    if architecture.takes == "text" or any(edit in architecture.edits for edit in FOLDS):
        return module, architecture
    if architecture.takes != "image":
        return fold_batch_norm(module), architecture.edited(FOLDS[1])
    return fold_batch_norm(fold_pixel_scale(module)), architecture.edited(*FOLDS)


def _trained(
    bench: StepContext,
    distillation: Distillation,
    module: nn.Module,
    architecture: Architecture,
    bits: Mapping[str, int],
) -> Compressed:
    """Train with fake-quantized weights, fold, and keep the integers that the training found."""
    if any(edit in architecture.edits for edit in FOLDS):
        msg = "a folded network has no batch norms to train with; remove the step fold, quantize folds by itself"
        raise ModelError(msg)
    bench.learn(learn_steps(module, bits), distillation)
    integers = settle_steps(module)
    folded, architecture = fold_for_quantizing(module, architecture)
    return trained_integers(folded, bits, integers), architecture
