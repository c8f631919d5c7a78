"""Are the students of towers good because of their teacher? Train their architectures alone, the way the teacher was.

Run as `python benchmarks/untaught.py RECIPE [EPOCHS]`; the recipe's data must have been pulled once, by `make run`.
Each student's network stands in the teacher's place, with the teacher's own training but for the epochs, which are as
many as asked for: a student's epoch is several times cheaper. Prints quality on the gate and the sealed role.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from models.compression.spaces import anchored
from models.inputs.images import describe
from models.training import fit
from models.ways import SPEECH
from models.workloads.pairs import PairFeed, load_pairs
from models.workloads.retrieval import Towers, architecture_of, scorer
from tasks.measure import plan_of
from tasks.pull_data import pulled
from tasks.recipe import Recipe, TowersTeacher, load_recipe
from tasks.recipe_steps import Distil, Network
from tasks.settings import load_settings


class Printed:
    """Prints how training goes."""

    def progress(self, line: str) -> None:
        """Print one line."""
        print(line, flush=True)

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        """Keep nothing."""


def main() -> None:
    """Train, judge, print."""
    recipe = load_recipe(Path("dags/recipes") / f"{sys.argv[1]}.yaml")
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else None  # noqa: PLR2004 - the program, the recipe, the epochs
    data = pulled(load_settings(), recipe.data)
    start = time.monotonic()
    towers = trained(recipe, data, epochs)
    qualities = {role: scorer(data, role)(dict(towers.towers.items())) for role in ("search", "gate", "sealed")}
    told = ", ".join(f"{role} {quality:.2%}" for role, quality in qualities.items())
    print(f"{recipe.name}, students without a teacher, {time.monotonic() - start:.0f} s: {told}")


def trained(recipe: Recipe, data: Path, epochs: int | None) -> Towers:
    """Train the students' networks in one space."""
    assert isinstance(recipe.teacher, TowersTeacher)  # noqa: S101 - a benchmark of towers
    training = recipe.teacher.training
    if epochs is not None:
        sides = training.resolutions and tuple(training.resolutions[0] if e < epochs - 1 else 64 for e in range(epochs))
        training = training.model_copy(update={"epochs": epochs, "resolutions": sides})
    networks = students_of(recipe)
    built = {
        name: architecture_of(data, each.name, each.arguments).build_seeded(recipe.seed)
        for name, each in networks.items()
        if name != SPEECH
    }
    dimension = int(networks["text"].arguments["dimension"])
    towers = Towers(built, len(describe(data)["labels"]), dimension, recipe.seed)
    feed = PairFeed(load_pairs(data, "train"), None, recipe.seed, training.augment, training.resolutions)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            towers,
            feed,
            anchored,
            plan_of(training, recipe.seed),
            checkpoint=Path(folder) / "training.safetensors",
            score=lambda _: 0.0,
            watcher=Printed(),
        )
    return towers


def students_of(recipe: Recipe) -> dict[str, Network]:
    """Give the network that each tower is distilled into."""
    return {str(step.tower): step.network for step in recipe.steps if isinstance(step, Distil)}


if __name__ == "__main__":
    main()
