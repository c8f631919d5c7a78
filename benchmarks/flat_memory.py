"""Does memory grow with the data? Train on shards of 1, 2 and 4 times a size, and print each process's peak.

`.venv/bin/python benchmarks/flat_memory.py [MEGABYTES]` needs five times MEGABYTES (200) in the folder of temporary
files, and about two minutes. The images are noise. A small student learns two views of each image from a teacher, after
an epoch of the teacher's own training.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SHAPE = (1, 56, 56)
IN_A_SHARD = 8_192
TIMES = (1, 2, 4)
MEGABYTES = 200


def main(megabytes: int) -> None:
    """Print the peaks and their ratios."""
    count = megabytes * 2**20 // (SHAPE[0] * SHAPE[1] * SHAPE[2])
    peaks = {times: peak_of(times * count) for times in TIMES}
    for times, peak in peaks.items():
        size = times * megabytes
        print(f"{size:6} MB of pixels: peak {peak / 2**20:6.0f} MB, {peak / peaks[1]:.2f} times the first")


def peak_of(count: int) -> int:
    """Train on `count` images in a new process. Returns its largest resident memory in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--write", folder, str(count)], check=True)
        done = subprocess.run([sys.executable, __file__, "--train", folder], check=True, capture_output=True, text=True)
    return int(done.stdout.strip().splitlines()[-1])


def write(folder: Path, count: int) -> None:
    """Write shards of noise as a materialised dataset has them."""
    import json

    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator, shards = np.random.default_rng(0), list[dict[str, str]]()
    for number, start in enumerate(range(0, count, IN_A_SHARD)):
        rows = min(IN_A_SHARD, count - start)
        images = [generator.integers(0, 256, SHAPE, dtype=np.uint8).tobytes() for _ in range(rows)]
        table = pa.table({"image": images, "label": generator.integers(0, 10, rows)})
        pq.write_table(table, folder / f"train-{number:03}.parquet")
        shards.append({"path": f"train-{number:03}.parquet"})
    splits = {"train": {"shards": shards}, "validation": {"shards": shards[:1]}}
    described = {"name": "noise", "image_shape": SHAPE, "labels": list("abcdefghij"), "splits": splits}
    (folder / "dataset.json").write_text(json.dumps(described), encoding="utf-8")


def train(folder: Path) -> None:
    """Train a teacher for an epoch, then a student for another."""
    from stillhouse.models.distillation.logit import teacher_logits
    from stillhouse.models.training.checkpoint import Architecture
    from stillhouse.models.training.loop import TrainConfig, fit
    from stillhouse.models.workloads.image_classification.training import TRAINING, architecture_of
    from stillhouse.models.workloads.registry import ALONE
    from stillhouse.tasks.recipe.distillation import LogitDistillation
    from stillhouse.tasks.recipe.teacher import Network, Training

    options = Training(epochs=1, batch_size=256, learning_rate=0.01, augment=True, erase=True)
    plan = TrainConfig(1, 256, 0.01, 0.0, "sgd", "fp32", 0.1, 3)
    network = Network(name="plain", arguments={"widths": [4, 8], "strides": [4, 2], "pool": 4})
    architecture: Architecture = architecture_of(folder, network)
    teacher, student = architecture.build_seeded(1), architecture.build_seeded(2)
    made = TRAINING.teacher_training(folder, {ALONE: (teacher, architecture)}, options, 3)
    component = TRAINING.component(ALONE, folder, folder, folder)
    fit(made.learner, made.feed, made.objective, plan, checkpoint=folder / "t", score=lambda _: 0.0, watcher=Silent())
    how = LogitDistillation(kind="logits", training=Training(epochs=1, batch_size=256, learning_rate=0.01))
    how = how.model_copy(update={"augmented_views": 2, "mixup_views": 1})
    feed = component.distillation_batches(lambda images: (teacher_logits(teacher, images),), 3, how, Silent())
    batches, objective = component.distillation(feed, how, lambda: None)
    fit(student, batches, objective, plan, checkpoint=folder / "s", score=lambda _: 0.0, watcher=Silent())
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


class Silent:
    """Shows nothing."""

    def progress(self, line: str) -> None:
        """Show nothing."""

    def record(self, *_: object) -> None:
        """Keep nothing."""


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["--train"]:
        train(Path(sys.argv[2]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else MEGABYTES)
