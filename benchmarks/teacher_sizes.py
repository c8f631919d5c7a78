"""Is the teacher right-sized? Train narrower networks alone, by the teacher's own recipe, and compare.

`.venv/bin/python benchmarks/teacher_sizes.py image_classification_hour` trains every size that has no result yet, in
turn, with a checkpoint an epoch, and writes docs/teacher_sizes_RECIPE.json and .png. A ratio of bytes or time means
little if a network half as wide, trained without any teacher, is as good. Takes about half as long as the teacher, and
as long again without `--teacher`, the folder of the recipe's teacher from a night.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from stillhouse.models.compression.cost import macs_and_parameters
from stillhouse.models.distillation.objectives import cross_entropy_objective
from stillhouse.models.measurement.statistics import wilson_interval
from stillhouse.models.training.checkpoint import load_model, save_model
from stillhouse.models.training.loop import fit
from stillhouse.models.workloads.image_classification.examples import LabelledBatches, load_examples
from stillhouse.models.workloads.image_classification.training import Classifier, answers
from stillhouse.tasks.compression.measure import train_config_of
from stillhouse.tasks.recipe.recipe import Recipe, load_recipe

ROOT = Path(__file__).resolve().parent.parent
SPLIT = "gate"
"""A size is chosen by it, so the test split stays closed."""
SHARES = (0.25, 0.5, 1.0)
"""Widths as shares of the teacher's."""


class Printer:
    """Shows how a training goes."""

    def progress(self, line: str) -> None:
        """Print one line."""
        print(line, flush=True)

    def record(self, step: int, metrics: dict[str, float]) -> None:
        """Keep nothing: the lines say it."""


def narrowed(arguments: dict[str, Any], share: float) -> dict[str, Any]:
    """Give the network's arguments with every width multiplied, in multiples of 8."""
    return arguments | {
        "stem": max(8, round(arguments["stem"] * share / 8) * 8),
        "widths": [max(8, round(width * share / 8) * 8) for width in arguments["widths"]],
    }


def trained(recipe: Recipe, data: Path, share: float, folder: Path) -> dict[str, Any]:
    """Train one size, unless its model is there already; returns its measures."""
    classifier, training = Classifier(data), recipe.teacher.training
    arguments = narrowed(recipe.teacher.network.arguments, share)
    network = recipe.teacher.network.model_copy(update={"arguments": arguments})
    architecture = classifier.architecture(network)
    if not (folder / "architecture.json").exists():
        module = architecture.build_seeded(recipe.seed)
        examples = load_examples(data, "train")
        feed = LabelledBatches(examples, recipe.seed, training.augment, training.resolutions, training.erase)
        checkpoint = folder / "training.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        fit(
            module,
            feed,
            cross_entropy_objective(training.label_smoothing),
            train_config_of(training, recipe.seed),
            checkpoint=checkpoint,
            score=classifier.scorer("validation"),
            watcher=Printer(),
        )
        save_model(folder, module, architecture)
    module, _ = load_model(folder)
    macs, parameters = macs_and_parameters(module, architecture.example())
    answers_N = answers(module, load_examples(data, SPLIT)).numpy()
    accuracy = classifier.scorer(SPLIT)(module)
    return {
        "widths": arguments["widths"],
        "parameters": parameters,
        "macs": macs,
        SPLIT: accuracy,
        "interval": wilson_interval(round(accuracy * len(answers_N)), len(answers_N), 0.95),
    }


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy over parameters, with intervals."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        low, high = row["interval"]
        axes.plot([row["parameters"]] * 2, [100 * low, 100 * high], color="#8a8a8a")
    axes.plot([row["parameters"] for row in rows], [100 * row[SPLIT] for row in rows], "o-", color="#20639b")
    axes.set(xscale="log", xlabel="parameters", ylabel="gate accuracy, %", title="The same training at three sizes")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train what is missing, then write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe")
    parser.add_argument("--teacher", type=Path, help="folder with the recipe's trained teacher")
    parser.add_argument("--work", type=Path, default=ROOT / ".stillhouse" / "teacher_sizes")
    arguments = parser.parse_args()
    recipe = load_recipe(ROOT / "dags" / "recipes" / f"{arguments.recipe}.yaml")
    data = ROOT / "data" / recipe.data.dataset
    folders = {share: arguments.work / f"{recipe.name}_{share}" for share in SHARES}
    if arguments.teacher:
        folders[1.0] = arguments.teacher
    rows = [trained(recipe, data, share, folder) for share, folder in folders.items()]
    for row in rows:
        print(f"{row['parameters']:>9,} parameters, {row['macs']:>11,} MACs: {row[SPLIT]:.2%} {SPLIT}")
    written = ROOT / "docs" / f"teacher_sizes_{recipe.name}.json"
    written.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    draw(rows, written.with_suffix(".png"))


if __name__ == "__main__":
    main()
