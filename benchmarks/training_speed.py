"""Images a second of the Fashion-MNIST teacher's training, by precision, memory format and thread waiting.

Run on an otherwise idle machine: `.venv/bin/python benchmarks/training_speed.py`; with `--busy` one other process
keeps a core busy, as Airflow does at times. Variants take turns, because a shared machine changes pace.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator

VARIANTS = {
    "fp32 channels_last, threads yield": ("fp32", "channels_last", "3000"),
    "fp32 channels_last, threads spin": ("fp32", "channels_last", "300000"),
    "fp32 contiguous, threads yield": ("fp32", "contiguous_format", "3000"),
    "bf16 channels_last, threads yield": ("bf16", "channels_last", "3000"),
}
SECONDS = 4.0
BATCH = 250


def measure(precision: str, memory_format: str) -> float:
    """Train on random bytes for a few seconds in this process; images a second."""
    import time

    import torch
    from torch.nn import functional

    from stillhouse.models.training.checkpoint import Architecture

    network = {"stem": 48, "widths": [48, 128, 256], "strides": [1, 2, 2], "stem_kernel": 4}
    layout = getattr(torch, memory_format)
    model = Architecture("residual", network, 90.0, (1, 28, 28)).build_seeded(0).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True)
    images_BCHW = torch.randint(0, 256, (BATCH, 1, 28, 28)).float().contiguous(memory_format=layout)
    labels_B = torch.randint(0, 10, (BATCH,))
    steps, start = -3, time.monotonic()
    while steps < 1 or time.monotonic() - start < SECONDS:
        if steps == 0:
            start = time.monotonic()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = functional.cross_entropy(model(images_BCHW).float(), labels_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    return steps * BATCH / (time.monotonic() - start)


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with another process."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def compare(rounds: int) -> None:
    """Measure all variants in turns, each in a process of its own, and print their medians."""
    speeds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(rounds):
        for name, (precision, layout, spin) in VARIANTS.items():
            command = [sys.executable, __file__, "--one", precision, layout]
            done = subprocess.run(
                command, env=os.environ | {"GOMP_SPINCOUNT": spin}, capture_output=True, text=True, check=True
            )
            speeds[name].append(float(done.stdout))
    for name, found in speeds.items():
        print(f"{name:36} {statistics.median(found):6.0f} images/s ({min(found):.0f} to {max(found):.0f})")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("PRECISION", "LAYOUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(measure(*arguments.one))
        return
    with busy_core() if arguments.busy else contextlib.nullcontext():
        compare(arguments.rounds)


if __name__ == "__main__":
    main()
