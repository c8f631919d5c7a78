"""The networks of a shipped recipe with fresh numbers, teacher against student, under the runtime's default options.

Times do not depend on what was learned, so no night is needed: `.venv/bin/python benchmarks/default_options.py RECIPE`.
"""

import sys
import tempfile
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from stillhouse.models.augmentation.redraw import PAPER
from stillhouse.models.compression.low_rank import low_rank, ranks_for
from stillhouse.models.compression.quantization.quantize import (
    bits_by_layer,
    integer_edit,
    integer_weights,
    with_whole_edges,
)
from stillhouse.models.compression.quantization.rounding import BITS
from stillhouse.models.data.sound.waves import LENGTH
from stillhouse.models.data.text import codes_of
from stillhouse.models.measurement.latency import Call, Schedule, compare_calls, open_call
from stillhouse.models.networks.registry import NETWORKS
from stillhouse.models.networks.texts.ngrams import tables_of
from stillhouse.models.onnx.export import export_model
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.workloads.text_to_image.flow import DIMENSION
from stillhouse.models.workloads.training_base import training_of
from stillhouse.tasks.compression.quantize import fold_for_quantizing
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.recipe.steps import Distil, LowRank, Quantize
from stillhouse.tasks.recipe.teacher import Network

RECIPES = sorted((Path(__file__).resolve().parent.parent / "dags" / "recipes").glob("[!.]*.yaml"))
IMAGE_SHAPES = {"digits": (1, 8, 8), "fashion_mnist": (1, 28, 28)}
PROMPTED_SHAPE = (1, 28, 28)
LETTERS = 200
SCHEDULE = Schedule(repeats=9, most=9, rounds=40, pause_seconds=1.0, confidence=0.9, limit=1000.0)


def architecture_of(recipe: Recipe, network: Network) -> Architecture:
    """Describe a network as the recipe's data would have it."""
    takes = NETWORKS[network.name].takes
    if takes == "text":
        return Architecture(network.name, network.arguments, 1.0, ())
    if takes == "speech":
        return Architecture(network.name, {**network.arguments, "letters": LETTERS}, 1.0, (LENGTH,))
    if takes == "state":
        return Architecture(network.name, network.arguments, 1.0, (prod(PROMPTED_SHAPE) + 1 + DIMENSION,))
    shape = IMAGE_SHAPES.get(recipe.data.dataset, (3, 64, 64))
    return Architecture(network.name, network.arguments, 80.0, shape, background=PAPER if shape[0] > 1 else 0)


def raw_of(architecture: Architecture) -> NDArray[np.generic]:
    """A batch (64, ...) of raw inputs."""
    random = np.random.default_rng(0)
    if architecture.takes == "text":
        return codes_of(["a red heart with an arrow"] * 64)
    if architecture.takes == "speech":
        return random.normal(0, 4000, (64, LENGTH)).astype(np.int16)
    if architecture.takes == "state":
        return random.standard_normal((64, *architecture.image_shape), np.float32)
    return random.integers(0, 256, (64, *architecture.image_shape), dtype=np.uint8)


def student_of(recipe: Recipe, component: str, teacher: Architecture) -> tuple[torch.nn.Module, Architecture]:
    """Build what the steps of a component make of its teacher, without training."""
    architecture, module = teacher, teacher.build_seeded(1).eval()
    for step in (step for step in recipe.steps if step.component in {component, None}):
        if isinstance(step, Distil):
            architecture = architecture_of(recipe, step.network)
            module = architecture.build_seeded(1).eval()
        elif isinstance(step, LowRank):
            ranks = ranks_for(module, architecture.example(), step.energy, step.layers)
            module, architecture = (
                low_rank(module, ranks),
                architecture.with_edits({"edit": "factorise", "ranks": ranks}),
            )
        elif isinstance(step, Quantize):
            module, architecture = _quantized(step, module, architecture)
    return module, architecture


def _quantized(
    step: Quantize, module: torch.nn.Module, architecture: Architecture
) -> tuple[torch.nn.Module, Architecture]:
    """Round the weights as the step does, without training."""
    module, architecture = fold_for_quantizing(module, architecture)
    bits = with_whole_edges(bits_by_layer(module, BITS.get(step.weights, 8), step.keep_float), tables_of(module))
    activations = "dynamic" if architecture.takes == "text" else step.activations
    how = {"activations": activations, "calibration": step.calibration, "keep_float": list(step.keep_float)}
    edited = architecture.with_edits(integer_edit(module, bits))
    return integer_weights(module, bits), replace(edited, quantization=how)


def networks_of(recipe: Recipe) -> dict[str, Network]:
    """Component that ships -> the teacher's network."""
    shipped = training_of(recipe.workload).components
    return {name: network for name, network in recipe.teacher.networks.items() if name in shipped}


def export_both(recipe: Recipe, component: str, folder: Path) -> NDArray[np.generic]:
    """Write the teacher's and the student's file of a component; gives a batch of raw inputs."""
    teacher = architecture_of(recipe, networks_of(recipe)[component])
    raw = raw_of(teacher)
    export_model(teacher.build_seeded(1).eval(), teacher, raw, folder / "teacher.onnx")
    export_model(*student_of(recipe, component, teacher), raw, folder / "student.onnx")
    return raw


def main() -> None:
    """Time all components in turns and print the ratio."""
    recipe = load_recipe(Path("dags/recipes") / f"{sys.argv[1]}.yaml")
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(scratch, str(name)) for name in networks_of(recipe)}
        for folder in folders.values():
            folder.mkdir()
        raw = {name: export_both(recipe, name, folder)[:1] for name, folder in folders.items()}

        def opened(model: str) -> Call:
            calls = [open_call(deployable(folder, model), raw[name]) for name, folder in folders.items()]
            return lambda: [call() for call in calls]

        found = compare_calls((lambda: opened("teacher"), lambda: opened("student")), SCHEDULE)
    times = f"teacher {found.baseline.p10:.4f} ms, student {found.candidate.p10:.4f} ms"
    print(f"{times}: {found.ratio:.2f} ({found.interval[0]:.2f} to {found.interval[1]:.2f}) times as fast")


if __name__ == "__main__":
    main()
