"""Seconds of an epoch of a recipe's teacher: one process with one thread, two with one each, one with two threads.

`.venv/bin/python benchmarks/processes.py RECIPE [TURNS] [EXAMPLES]` on an otherwise idle machine. The variants take
turns, because a shared machine changes pace. The epoch has the recipe's batches, and at most EXAMPLES examples.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

VARIANTS = {
    "one process, one thread": (1, 1),
    "two processes, one thread each": (2, 1),
    "one process, two threads": (1, 2),
}
TURNS, EXAMPLES, EPOCHS = 5, 10_000, 2


class Seen:
    """Notes when an epoch ends."""

    def __init__(self) -> None:
        """Begin."""
        self.ends = list[float]()

    def progress(self, _line: str) -> None:
        """Show nothing."""

    def record(self, *_: object) -> None:
        """Note the time."""
        self.ends.append(time.monotonic())


def main(recipe: str, turns: int, examples: int) -> None:
    """Print the median of each variant and the ratios to the first one."""
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(turns):
        for name, (processes, threads) in VARIANTS.items():
            found[name].append(seconds_of(recipe, examples, processes, threads))
    first = found[next(iter(VARIANTS))]
    for name, seconds in found.items():
        ratios = sorted(one / other for one, other in zip(first, seconds, strict=True))
        times = f"{statistics.median(ratios):.2f} times as fast ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{name:32} {statistics.median(seconds):6.2f} s an epoch, {times}")


def seconds_of(recipe: str, examples: int, processes: int, threads: int) -> float:
    """Train for two epochs in new processes. Returns the seconds of the second epoch."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    own = [] if processes > 1 else [sys.executable]
    done = subprocess.run(
        [*(own or command), __file__, "--train", recipe, str(examples)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": "lo"},
        check=True,
        capture_output=True,
        text=True,
    )
    return float(done.stdout.strip().splitlines()[-1])


def train(recipe_name: str, examples: int) -> None:
    """Train in this process, alone or with others that torchrun has started."""
    import tempfile
    from dataclasses import replace

    from stillhouse.models.training.loop import fit
    from stillhouse.models.training.ranks import is_first
    from stillhouse.models.workloads.training_base import training_of
    from stillhouse.tasks.compression.measure import train_config_of
    from stillhouse.tasks.recipe.recipe import load_recipe
    from stillhouse.tasks.recipe.teacher import Teacher
    from stillhouse.tasks.settings import load_settings
    from stillhouse.tasks.stages.pull import pull_dataset

    recipe = load_recipe(Path("dags/recipes") / f"{recipe_name}.yaml")
    if not isinstance(recipe.teacher, Teacher):
        sys.exit(f"the teacher of {recipe_name} is not trained; choose a recipe that trains one")
    data, workload = pull_dataset(load_settings(), recipe.data), training_of(recipe.workload)
    options = recipe.teacher.training.model_copy(update={"resolutions": None})
    architectures = workload.architectures(data, recipe.teacher.networks)
    built = {name: (each.build_seeded(recipe.seed), each) for name, each in architectures.items()}
    made, seen = workload.teacher_training(data, built, options, recipe.seed), Seen()
    plan = replace(train_config_of(options, recipe.seed), epochs=EPOCHS)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            made.learner,
            _Short(made.feed, examples),
            made.objective,
            plan,
            checkpoint=Path(folder) / "training.safetensors",
            score=lambda _: 0.0,
            watcher=seen,
        )
    if is_first():
        print(seen.ends[1] - seen.ends[0])


class _Short:
    """The first batches of each epoch."""

    def __init__(self, feed: object, examples: int) -> None:
        self.feed, self.examples = feed, examples

    def batches_per_epoch(self, batch_size: int) -> int:
        return min(self.feed.batches_per_epoch(batch_size), self.examples // batch_size)  # type: ignore[attr-defined]

    def epoch(self, epoch: int, batch_size: int) -> Iterator[object]:
        batches = self.feed.epoch(epoch, batch_size)  # type: ignore[attr-defined]
        for _ in range(self.batches_per_epoch(batch_size)):
            yield next(batches)


if __name__ == "__main__":
    if sys.argv[1] == "--train":
        train(sys.argv[2], int(sys.argv[3]))
    else:
        given = [int(each) for each in sys.argv[2:]]
        main(sys.argv[1], *(given + [TURNS, EXAMPLES][len(given) :]))
