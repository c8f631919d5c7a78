"""Whoever loads what ships has the runtime's default options: each component must be fast under these.

The networks are those of the shipped recipes with fresh numbers, changed and exported as the recipe's steps say.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from benchmarks.default_options import RECIPES, export_both, networks_of, raw_of
from stillhouse.models.onnx.export import export_model
from stillhouse.models.onnx.packing import deployable, unpack
from stillhouse.models.runtime.session import open_session
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.recipe.steps import Step

pytestmark = pytest.mark.serial

ROUNDS, CALLS = 150, 5


def components() -> list[pytest.param]:
    """Every component of every shipped recipe."""
    recipes = [load_recipe(path) for path in RECIPES]
    return [
        pytest.param(recipe, name, id=f"{recipe.name}-{name or 'model'}")
        for recipe in recipes
        for name in networks_of(recipe)
    ]


def open_as_others_do(path: Path) -> onnxruntime.InferenceSession:
    """Open a plain or packed file with nothing set but one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(unpack(path), options, providers=["CPUExecutionProvider"])


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
    The same holds for a component that keeps its teacher's network and is only stored in fewer bits.
    """
    raw = export_both(recipe, component, tmp_path)
    files = [open_as_others_do(deployable(tmp_path, name)) for name in ("teacher", "student")]
    taught = any(step.method != "pack" and step.component == component and _computes(step) for step in recipe.steps)
    assert speedup(*files, raw) > (1 if recipe.schedule and taught else 0.9)


def _computes(step: Step) -> bool:
    """Tell whether a step changes what a component computes, and not only how its weights are stored."""
    return getattr(step, "activations", None) != "float"


def test_the_judge_and_the_server_set_one_thread_and_no_other_option(tmp_path: Path) -> None:
    """The options of a session of ours are the defaults, but for the thread and for what is logged."""
    architecture = Architecture("ngram_encoder", {"buckets": 97, "width": 8, "hidden": 8, "dimension": 8}, 1.0, ())
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
