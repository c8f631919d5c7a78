"""Are students good because of their teacher? Train their architectures alone, the way the teacher was.

Run as `python benchmarks/untaught.py RECIPE [EPOCHS]`; the recipe's data must have been pulled once, by `make run`.
Each student's network stands in the teacher's place, with the teacher's own training but for the epochs, which are as
many as asked for: a student's epoch is several times cheaper. Prints quality on the search and the gate split.
"""

import sys
import tempfile
import time
from pathlib import Path

from stillhouse.models.training.checkpoint import ARCHITECTURE, load_model
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.training_base import training_of
from stillhouse.tasks.pipeline.job import Job
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe
from stillhouse.tasks.recipe.steps import Distil
from stillhouse.tasks.recipe.teacher import Teacher
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import pull_dataset
from stillhouse.tasks.stages.teacher import train


def main() -> None:
    """Train, judge, print."""
    recipe = load_recipe(Path("dags/recipes") / f"{sys.argv[1]}.yaml")
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else None  # noqa: PLR2004 - the program, the recipe, the epochs
    data, start = pull_dataset(load_settings(), recipe.data), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = {"seed": recipe.seed, "workload": recipe.workload}
        job = Job(settings, {}, folder, folder, folder, _tell, _keep_nothing)
        train(job, untaught(recipe, epochs), data)
        workload = training_of(recipe.workload)
        modules = {path.parent.name: load_model(path.parent)[0] for path in folder.glob(f"*/{ARCHITECTURE}")}
    told = ", ".join(f"{split} {workload.scorer(data, split)(modules):.2%}" for split in ("validation", "gate"))
    print(f"{recipe.name}, students without a teacher, {time.monotonic() - start:.0f} s: {told}")


def untaught(recipe: Recipe, epochs: int | None) -> Teacher:
    """Put the networks of the student in the teacher's place; an encoder that is made thinner stays whole."""
    assert isinstance(recipe.teacher, Teacher)  # noqa: S101 - a benchmark of trained teachers
    networks = {step.component or ALONE: step.network for step in recipe.steps if isinstance(step, Distil)}
    training = recipe.teacher.training
    epochs = epochs or training.epochs
    sides = training.resolutions and (training.resolutions[-1],) * epochs  # a student takes one size of picture only
    training = training.model_copy(update={"epochs": epochs, "resolutions": sides})
    return recipe.teacher.model_copy(
        update={"components": {**recipe.teacher.networks, **networks}, "training": training}
    )


def _tell(line: str) -> None:
    print(line, flush=True)


def _keep_nothing(*_: object) -> None:
    pass


if __name__ == "__main__":
    main()
