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

    Args:
        recipe_path: the recipe's file.
        seeds: at least two, all different.
        show: shown one line per stage.

    Raises:
        StillhouseError: too few seeds, or a stage failed; says which.
    """
    if len(set(seeds)) < max(2, len(seeds)):
        msg = f"seeds {', '.join(map(str, seeds))} are fewer than two different ones; name each seed once"
        raise RecipeError(msg)
    recipe = load_recipe(recipe_path)
    evaluations = {seed: _evaluation(recipe_path, recipe, seed, show) for seed in seeds}
    table = {name: [measure(found) for found in evaluations.values()] for name, measure in MEASURES.items()}
    result = {"recipe": recipe.name, "seeds": list(seeds)} | {name: _summary(found) for name, found in table.items()}
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
    output = output_of(desk_of(recipe_path, key, seed=seed), "evaluate")
    found: dict[str, Any] = json.loads((output.path / "evaluation.json").read_text(encoding="utf-8"))
    return found


def _summary(values: Sequence[float]) -> dict[str, Any]:
    mean, interval = over_seeds(values)
    return {"values": list(values), "mean": mean, "interval": interval}
