"""Run one recipe with several seeds, to measure how much of its result is luck. Each seed trains teacher and student.

Everything except the registry and the report works as in a nightly run, including reuse. A second call with the same
seeds only reads the results.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stillhouse.models.evaluation.schema import Estimate, Evaluation
from stillhouse.models.measurement.statistics import over_seeds, over_seeds_and_examples
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.artifacts.outputs import output_of
from stillhouse.tasks.errors import RecipeError
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.judging.gate import judge_seeds
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_context import open_run
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.settings import load_settings

MEASURES: dict[str, Callable[[Evaluation], float]] = {
    "times_fewer_bytes": lambda found: found.ratios.bytes,
    "times_as_fast": lambda found: found.ratios.latency.value,
}
"""Measures taken from every seed's evaluation.json."""
ESTIMATES: dict[str, Callable[[Evaluation], Estimate]] = {
    "teacher_gate": lambda found: found.teacher.quality.gate,
    "student_gate": lambda found: found.student.quality.gate,
    "points_gate": lambda found: _in_points(found.paired.gate.difference),
}
"""Measures estimated on the gate examples. The test split `test` stays closed."""


def run_seeds(recipe_path: Path, seeds: Sequence[int], show: Callable[[str], None]) -> dict[str, Any]:
    """Run a recipe up to its gate once per seed. Writes and returns every measure with its mean and 95 % interval.

    `interval` is the interval over the seeds. A measure estimated on the gate examples, which all seeds share, also has
    `interval_with_examples`, two-sided at `2 * confidence - 1` of the recipe's gate. If the recipe sets a maximum drop
    in points, `verdict` and `reason` judge it with both uncertainties.

    Args:
        recipe_path: the recipe's file.
        seeds: at least two, all different. Empty: the seeds that the recipe lists.
        show: called with one line per stage.

    Raises:
        StillhouseError: there are too few seeds, or a stage failed. The message says which.
    """
    recipe = load_recipe(recipe_path)
    seeds = seeds or recipe.seeds or (recipe.seed,)
    if len(set(seeds)) < max(2, len(seeds)):
        given = ", ".join(map(str, seeds))
        msg = f"seeds {given} are fewer than two different ones; name each once, here or in the recipe's seeds"
        raise RecipeError(msg)
    evaluations = {seed: _evaluation(recipe_path, recipe, seed, show) for seed in seeds}
    table = {name: [measure(found) for found in evaluations.values()] for name, measure in MEASURES.items()}
    result = {"recipe": recipe.name, "seeds": list(seeds)} | {name: _summary(found) for name, found in table.items()}
    estimated = {name: [estimate(found) for found in evaluations.values()] for name, estimate in ESTIMATES.items()}
    result |= {name: _with_examples(found, recipe.gate.confidence) for name, found in estimated.items()}
    if recipe.gate.max_drop_points is not None:
        differences = [found.paired.gate.difference for found in evaluations.values()]
        check = judge_seeds(differences, recipe.gate.max_drop_points, recipe.gate.confidence)
        result |= {"verdict": check.verdict, "reason": check.reason}
    folder = load_settings().runs / "seeds"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{recipe.name}.json", result)
    return result


def _evaluation(recipe_path: Path, recipe: Recipe, seed: int, show: Callable[[str], None]) -> Evaluation:
    key = f"seeds/{recipe.name}_{seed}"
    for name in _up_to_gate(recipe):
        show(f"seed {seed}: {name}")
        run_stage(recipe_path, name, key, seed=seed)
    context = open_run(recipe_path, key, seed=seed)
    if context.recipe != recipe.model_copy(update={"seed": seed}):
        msg = f"recipe {recipe.name} was edited while its seeds ran; run them again, what has not changed is reused"
        raise RecipeError(msg)
    output = output_of(context, "evaluate")
    return parse_evaluation(json.loads((output.path / "evaluation.json").read_text(encoding="utf-8")))


def _up_to_gate(recipe: Recipe) -> list[str]:
    names = [stage.name for stage in stages_of(recipe)]
    return names[: names.index("gate") + 1]


def _in_points(share: Estimate) -> Estimate:
    return Estimate(value=100 * share.value, interval=(100 * share.interval[0], 100 * share.interval[1]))


def _summary(values: Sequence[float]) -> dict[str, Any]:
    mean, interval = over_seeds(values)
    return {"values": list(values), "mean": mean, "interval": interval}


def _with_examples(estimates: Sequence[Estimate], confidence: float) -> dict[str, Any]:
    """Add the interval with both uncertainties: the spread over the seeds, and the examples that all seeds share."""
    values, intervals = [each.value for each in estimates], [each.interval for each in estimates]
    both = over_seeds_and_examples(values, intervals, 2 * confidence - 1)[1]
    return _summary(values) | {"interval_with_examples": both}
