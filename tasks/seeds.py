"""One recipe over several seeds: how much of its result is luck. Teacher and student are trained anew for each.

Everything but the registry and the report is done as in a night, and reused as in a night: asking again for seeds that
were done before only reads them.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.statistics import over_seeds
from tasks.artifact import write_json
from tasks.errors import RecipeError
from tasks.gate import judge_seeds
from tasks.pipeline import stages_of
from tasks.recipe import Recipe, load_recipe
from tasks.settings import load_settings
from tasks.stage import desk_of, output_of, run_stage

MEASURES: dict[str, Callable[[dict[str, Any]], float]] = {
    "teacher_sealed": lambda found: found["teacher"]["quality"]["sealed"]["value"],
    "student_sealed": lambda found: found["student"]["quality"]["sealed"]["value"],
    "points_sealed": lambda found: 100 * found["paired"]["sealed"]["difference"]["value"],
    "points_gate": lambda found: 100 * found["paired"]["gate"]["difference"]["value"],
    "times_fewer_bytes": lambda found: found["ratios"]["bytes"],
    "times_as_fast": lambda found: found["ratios"]["latency"]["value"],
}
"""What is kept of every seed's evaluation.json."""


def run_seeds(recipe_path: Path, seeds: Sequence[int], show: Callable[[str], None]) -> dict[str, Any]:
    """Run a recipe up to its gate once per seed; writes and returns every measure with its mean and 95 % interval.

    Where the recipe limits the points that may be lost, `verdict` and `reason` say whether they hold over the seeds.

    Args:
        recipe_path: the recipe's file.
        seeds: at least two, all different; none takes those that the recipe lists.
        show: shown one line per stage.

    Raises:
        StillhouseError: too few seeds, or a stage failed; says which.
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
    if recipe.gate.points is not None:
        check = judge_seeds(table["points_gate"], recipe.gate.points, recipe.gate.confidence)
        result |= {"verdict": check.verdict, "reason": check.reason}
    folder = load_settings().runs / "seeds"
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{recipe.name}.json", result)
    return result


def _evaluation(recipe_path: Path, recipe: Recipe, seed: int, show: Callable[[str], None]) -> dict[str, Any]:
    key = f"seeds/{recipe.name}_{seed}"
    for stage in stages_of(recipe):
        if stage.reusable:
            show(f"seed {seed}: {stage.name}")
            run_stage(recipe_path, stage.name, key, seed=seed)
    desk = desk_of(recipe_path, key, seed=seed)
    if desk.recipe != recipe.model_copy(update={"seed": seed}):
        msg = f"recipe {recipe.name} was edited while its seeds ran; run them again, what has not changed is reused"
        raise RecipeError(msg)
    output = output_of(desk, "evaluate")
    found: dict[str, Any] = json.loads((output.path / "evaluation.json").read_text(encoding="utf-8"))
    return found


def _summary(values: Sequence[float]) -> dict[str, Any]:
    mean, interval = over_seeds(values)
    return {"values": list(values), "mean": mean, "interval": interval}
