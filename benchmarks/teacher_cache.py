"""Seconds of a distillation epoch with the teacher's answers kept, against asking the teacher in every step.

Run on an otherwise idle machine: `.venv/bin/python benchmarks/teacher_cache.py`; expect at least 1.5x. Teacher, student
and batch are those of dags/recipes/image_classification_hour.yaml, on random pixels, of which speed knows nothing. Both
train from the same feed and take turns, because a shared machine changes pace. Asking once fills the cache; how many
epochs that costs is printed too.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from stillhouse.models.distillation.batches import DistillationBatches
from stillhouse.models.distillation.logit import teacher_logits
from stillhouse.models.distillation.objectives import taught_objective
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.training.loop import Batch
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.recipe.steps import Distil
from stillhouse.tasks.recipe.teacher import Network, Teacher

RECIPE = Path(__file__).resolve().parent.parent / "dags" / "recipes" / "image_classification_hour.yaml"
SHAPE = (1, 28, 28)
LEAST = 1.5
Variant = Callable[[Batch], Batch]


def built(network: Network, seed: int) -> nn.Module:
    """Build one of the recipe's networks."""
    module = Architecture(network.name, network.arguments, 90.0, SHAPE).build_seeded(seed)
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs


def random_feed(teacher: nn.Module, count: int) -> tuple[DistillationBatches, float]:
    """Make random images with the teacher's answers; returns the seconds that asking took, too."""
    generator = torch.Generator().manual_seed(0)
    images_NCHW = torch.randint(0, 256, (count, *SHAPE), generator=generator, dtype=torch.uint8)
    labels_N = torch.randint(0, 10, (count,), generator=generator)
    start = time.perf_counter()
    logits_NK = teacher_logits(teacher, images_NCHW)
    return DistillationBatches(images_NCHW[None], (logits_NK[None],), labels_N, 0), time.perf_counter() - start


def asking(teacher: nn.Module) -> Variant:
    """Make the variant that asks the teacher about every batch."""

    @torch.no_grad()
    def asked(batch: Batch) -> Batch:
        images_BCHW, labels_B, _ = batch
        logits_BK: Tensor = teacher(images_BCHW)
        return images_BCHW, labels_B, logits_BK

    return asked


def epoch(student: nn.Module, feed: DistillationBatches, step: Distil, variant: Variant) -> float:
    """Train the student for one epoch; returns seconds."""
    optimizer = torch.optim.SGD(student.parameters(), 0.01, momentum=0.9, nesterov=True)
    objective = taught_objective(step.loss, step.temperature, step.hard_weight)
    start = time.perf_counter()
    for batch in feed.epoch(0, step.training.batch_size):
        loss = objective(student, variant(batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def main() -> None:
    """Read the arguments, let both take turns, print medians, range and ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=5000, help="images in an epoch")
    arguments = parser.parse_args()
    recipe = load_recipe(RECIPE)
    step = recipe.steps[0]
    assert isinstance(step, Distil)  # noqa: S101 - the recipe's first step
    assert isinstance(recipe.teacher, Teacher)  # noqa: S101 - the recipe trains its own
    teacher, student = built(recipe.teacher.network, 1).eval(), built(step.network, 2).train()
    feed, filling = random_feed(teacher, arguments.images)
    variants: dict[str, Variant] = {"answers kept": lambda batch: batch, "teacher asked in every step": asking(teacher)}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        epoch(student, feed, step, variant)
    for _ in range(arguments.rounds):
        for name, variant in variants.items():
            seconds[name].append(epoch(student, feed, step, variant))
    report(seconds, filling)


def report(seconds: dict[str, list[float]], filling: float) -> None:
    """Print what was found."""
    for name, found in seconds.items():
        print(f"{name:28} {statistics.median(found):6.2f} s/epoch ({min(found):.2f} to {max(found):.2f})")
    kept, asked = seconds.values()
    ratios = [b / a for a, b in zip(kept, asked, strict=True)]
    print(
        f"kept answers are {statistics.median(ratios):.2f}x as fast ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"wanted {LEAST}x; asking once took {filling:.2f} s"
    )


if __name__ == "__main__":
    main()
