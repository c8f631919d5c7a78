"""Whoever loads what ships has the runtime's default options: each component must be fast under these.

The networks are those of the shipped recipes with fresh numbers, changed and exported as the recipe's steps say.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from models.checkpoint import Architecture
from models.compression.low_rank import low_rank, ranks_for
from models.compression.quantize import bits_by_layer, integer_edit, integer_weights, with_whole_edges
from models.compression.rounding import BITS
from models.export import export_model
from models.inputs.redraw import PAPER
from models.inputs.text import codes_of
from models.inputs.waves import LENGTH
from models.networks import taken_by
from models.networks.ngrams import tables_of
from models.packing import deployable, unpacked
from models.runtime import open_session
from tasks.methods.quantize import fold_for_quantizing
from tasks.recipe import Recipe, TowersTeacher, load_recipe
from tasks.recipe_steps import Distil, LowRank, Network, Quantize

RECIPES = sorted((Path(__file__).resolve().parent.parent / "dags" / "recipes").glob("[!.]*.yaml"))
IMAGE_SHAPES = {"digits": (1, 8, 8), "fashion_mnist": (1, 28, 28)}
LETTERS = 200
ROUNDS, CALLS = 150, 5


def components() -> list[pytest.param]:
    """Every component of every shipped recipe; a model of one component has no name for it."""
    recipes = [load_recipe(path) for path in RECIPES]
    return [
        pytest.param(recipe, name, id=f"{recipe.name}-{name or 'model'}")
        for recipe in recipes
        for name in (recipe.teacher.towers if isinstance(recipe.teacher, TowersTeacher) else [None])
    ]


def architecture_of(recipe: Recipe, network: Network) -> Architecture:
    takes = taken_by(network.name)
    if takes == "text":
        return Architecture(network.name, network.arguments, 1.0, ())
    if takes == "speech":
        return Architecture(network.name, {**network.arguments, "letters": LETTERS}, 1.0, (LENGTH,))
    shape = IMAGE_SHAPES.get(recipe.data.dataset, (3, 64, 64))
    return Architecture(network.name, network.arguments, 80.0, shape, background=PAPER if shape[0] > 1 else 0)


def raw_of(architecture: Architecture) -> NDArray[np.generic]:
    """A batch (64, ...) of raw inputs."""
    random = np.random.default_rng(0)
    if architecture.takes == "text":
        return codes_of(["a red heart with an arrow"] * 64)
    if architecture.takes == "speech":
        return random.normal(0, 4000, (64, LENGTH)).astype(np.int16)
    return random.integers(0, 256, (64, *architecture.image_shape), dtype=np.uint8)


def student_of(recipe: Recipe, component: str | None, teacher: Architecture) -> tuple[torch.nn.Module, Architecture]:
    """Build what the steps of a component make of its teacher, without training."""
    architecture, module = teacher, teacher.build_seeded(1).eval()
    for step in (step for step in recipe.steps if step.tower in {component, None}):
        if isinstance(step, Distil):
            architecture = architecture_of(recipe, step.network)
            module = architecture.build_seeded(1).eval()
        elif isinstance(step, LowRank):
            ranks = ranks_for(module, architecture.example(), step.energy, step.layers)
            module, architecture = low_rank(module, ranks), architecture.edited({"edit": "factorise", "ranks": ranks})
        elif isinstance(step, Quantize):
            module, architecture = quantized(step, module, architecture)
    return module, architecture


def quantized(
    step: Quantize, module: torch.nn.Module, architecture: Architecture
) -> tuple[torch.nn.Module, Architecture]:
    module, architecture = fold_for_quantizing(module, architecture)
    bits = with_whole_edges(bits_by_layer(module, BITS.get(step.weights, 8), step.keep_float), tables_of(module))
    activations = "dynamic" if architecture.takes == "text" else step.activations
    how = {"activations": activations, "calibration": step.calibration, "keep_float": list(step.keep_float)}
    edited = architecture.edited(integer_edit(module, bits))
    return integer_weights(module, bits), replace(edited, quantization=how)


def open_as_others_do(path: Path) -> onnxruntime.InferenceSession:
    """Open a plain or packed file with nothing set but one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(unpacked(path), options, providers=["CPUExecutionProvider"])


@pytest.fixture
def _one_core() -> Iterator[None]:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    yield
    os.sched_setaffinity(0, cores)


def speedup(teacher: onnxruntime.InferenceSession, student: onnxruntime.InferenceSession, raw: NDArray) -> float:
    """Teacher time / student time at batch 1: 10th percentiles of calls in turns."""
    name, times = teacher.get_inputs()[0].name, ([], [])
    for _ in range(ROUNDS):
        for session, kept in zip((teacher, student), times, strict=True):
            session.run(None, {name: raw[:1]})
            for _ in range(CALLS):
                start = time.perf_counter()
                session.run(None, {name: raw[:1]})
                kept.append(time.perf_counter() - start)
    return float(np.quantile(times[0], 0.1) / np.quantile(times[1], 0.1))


@pytest.mark.long
@pytest.mark.usefixtures("_one_core")
@pytest.mark.parametrize(("recipe", "component"), components())
def test_no_component_is_slower_than_its_teacher(tmp_path: Path, recipe: Recipe, component: str | None) -> None:
    """Under the runtime's default options, a student's component answers at least as fast as its teacher's.

    A recipe without a schedule is a tiny one: what both have in common is nearly all of its time, and 10 % is noise.
    """
    network = recipe.teacher.network if component is None else recipe.teacher.towers[component]
    teacher = architecture_of(recipe, network)
    raw = raw_of(teacher)
    export_model(teacher.build_seeded(1).eval(), teacher, raw, tmp_path / "teacher.onnx")
    export_model(*student_of(recipe, component, teacher), raw, tmp_path / "student.onnx")
    files = [open_as_others_do(deployable(tmp_path, name)) for name in ("teacher", "student")]
    assert speedup(*files, raw) > (1 if recipe.schedule else 0.9)


def test_the_judge_and_the_server_set_one_thread_and_no_other_option(tmp_path: Path) -> None:
    """The options of a session of ours are the defaults, but for the thread and for what is logged."""
    architecture = Architecture("ngram_tower", {"buckets": 97, "width": 8, "hidden": 8, "dimension": 8}, 1.0, ())
    export_model(architecture.build_seeded(1).eval(), architecture, raw_of(architecture), tmp_path / "model.onnx")
    found, default = open_session(tmp_path / "model.onnx").get_session_options(), onnxruntime.SessionOptions()
    entry = "session.disable_quant_qdq"
    with pytest.raises(RuntimeError, match=entry):
        found.get_session_config_entry(entry)
    names = {name for name in dir(default) if not name.startswith("_") and not callable(getattr(default, name))}
    assert {name for name in names if getattr(found, name) != getattr(default, name)} == {
        "intra_op_num_threads",
        "log_severity_level",
    }
