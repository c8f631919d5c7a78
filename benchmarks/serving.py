"""A champion behind its server at 200 requests a second, while the alias moves back and forth under it.

    .venv/bin/python benchmarks/serving.py image_classification_hour

The servers are up (`make up`) and two versions were promoted before: the alias moves to the previous one and back. The
server is pinned to the last core, everything else of this measurement to the first. Prints one JSON object.
"""

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.cli.main import recipe_path
from stillhouse.tasks.local_stack.stack_record import recall
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.serving.client import Body, Load, at_most, at_rate
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import pull_dataset

RATE, SECONDS = 200.0, 30.0
MOVES = (0.3, 0.65)
"""When the alias moves, as shares of the time."""
REPEATS = 5
"""Of the load without a move."""


def main() -> None:
    """Measure and print."""
    model = sys.argv[1]
    cores, settings, recipe = sorted(os.sched_getaffinity(0)), load_settings(), load_recipe(recipe_path(model))
    embedded = recall(settings, "mlflow")
    if embedded:
        os.environ.setdefault("MLFLOW_TRACKING_URI", embedded.address)
    media_type, contents = runtime_of(recipe.workload).sample_requests(pull_dataset(settings, recipe.data))
    bodies = [Body(media_type, content) for content in contents]
    os.sched_setaffinity(0, {cores[0]})
    one, address = served(model, {cores[-1]}, 1)
    still = [at_rate(address, bodies, RATE, SECONDS / REPEATS, seed) for seed in range(REPEATS)]
    most = at_most(address, bodies, SECONDS / REPEATS)
    moved, moves = moving(model, address, bodies)
    one.terminate()
    every, address = served(model, set(cores), len(cores))
    os.sched_setaffinity(0, cores)
    together = at_most(address, bodies, SECONDS / REPEATS)
    every.terminate()
    found = {
        "rate": RATE,
        "p50_ms": spread([load.percentile(50) for load in still]),
        "p99_ms": spread([load.percentile(99) for load in still]),
        "lost": sum(load.lost for load in (*still, most, together)),
        "answers_per_second": {"one_core": most.rate, f"all_{len(cores)}_cores": together.rate},
        "while_the_alias_moves": {
            "requests": len(moved.milliseconds) + moved.lost,
            "lost": moved.lost,
            "p50_ms": moved.percentile(50),
            "p99_ms": moved.percentile(99),
            "worst_ms": max(moved.milliseconds),
            "answers_of_version": Counter(json.loads(answer)["version"] for answer in moved.answers),
            "seconds_of_each_move": moves,
        },
    }
    print(json.dumps(found, indent=1))


def served(model: str, cores: set[int], processes: int) -> tuple[subprocess.Popen[str], str]:
    """Start the server on some cores; gives it with its address."""
    command = [
        sys.executable,
        "-m",
        "stillhouse.tasks.cli",
        "serve",
        model,
        "--port",
        "0",
        "--processes",
        str(processes),
    ]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
    os.sched_setaffinity(0, before)
    assert process.stdout is not None  # noqa: S101 - asked for
    lines = [process.stdout.readline() for _ in range(processes)]
    return process, lines[0].rsplit(" ", 1)[-1].strip()


def moving(model: str, address: str, bodies: list[Body]) -> tuple[Load, list[float]]:
    """Put load on while the alias moves to the previous champion and back."""
    seconds: list[float] = []

    def move() -> None:
        begin = time.monotonic()
        for share in MOVES:
            time.sleep(max(0.0, begin + share * SECONDS - time.monotonic()))
            started = time.monotonic()
            command = [
                sys.executable,
                "-m",
                "stillhouse.tasks.cli",
                "rollback",
                model,
                "--yes",
                "--why",
                "a load test",
            ]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)
            seconds.append(time.monotonic() - started)

    mover = threading.Thread(target=move)
    mover.start()
    load = at_rate(address, bodies, RATE, SECONDS)
    mover.join()
    return load, seconds


def spread(values: list[float]) -> dict[str, float]:
    """Give median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


if __name__ == "__main__":
    main()
