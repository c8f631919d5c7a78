"""Seconds and memory of 200 mapped candidates that do nothing, on the embedded stack.

`.venv/bin/python benchmarks/mapped_candidates.py [FOLDER]` starts an Airflow and an MLflow of its own in FOLDER (a
temporary folder), and takes about a quarter of an hour. `bare` is Airflow alone. `tracked` adds what every stage of
ours does: two runs in MLflow, a key, and a look-up. The points go to docs/scale.json.
"""

import json
import shutil
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.data.format.dataset import DESCRIPTION
from stillhouse.tasks.data.store.build_data import PLANS
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.stack_record import recall
from stillhouse.tasks.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks" / "scale"))
from memory import Samples, processor_seconds, sampled  # noqa: E402 - a script's neighbour
from points import keep  # noqa: E402 - a script's neighbour

SIZES = {"bare": (25, 50, 100, 200, 200), "tracked": (25, 50)}
POLL_SECONDS, PAGE = 1.0, 100


def main(folder: Path) -> None:
    """Measure both DAGs at every size, and print a line for each run."""
    settings = house(folder)
    airflow = Airflow(stack.start(settings, print))
    try:
        for name, sizes in SIZES.items():
            await_dag(airflow, name)
            airflow.trigger(name, {"candidates": 1})  # the first run loads what stays loaded
            time.sleep(15)
            keep(f"mapped_{name}", [measure(settings, airflow, name, size) for size in sizes])
    finally:
        stack.stop(settings, print)


def house(folder: Path) -> Settings:
    """Make a checkout that has the benchmark's DAGs only, and the digits in its cache."""
    root, state = folder / "root", folder / "state"
    (root / "dags").mkdir(parents=True)
    shutil.copy(ROOT / "benchmarks" / "scale" / "candidates_dag.py", root / "dags")
    (root / "src").symlink_to(ROOT / "src")
    PLANS["digits"].build(folder / "digits", "digits", lambda _: None)
    digest = file_digest(folder / "digits" / DESCRIPTION)
    shutil.copytree(folder / "digits", state / "data" / digest)
    recipe = yaml.safe_load((ROOT / "dags" / "recipes" / "seed_digits.yaml").read_text(encoding="utf-8"))
    recipe |= {"name": "candidate", "data": {"dataset": "digits", "sha256": digest}}
    (root / "candidate.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return Settings(root, state, folder / "runs", "")


def await_dag(airflow: Airflow, name: str) -> None:
    """Wait until Airflow has read a DAG, and let its runs start."""
    while airflow.dag(name) is None:
        time.sleep(POLL_SECONDS)
    airflow.unpause(name)


def measure(settings: Settings, airflow: Airflow, name: str, size: int) -> dict[str, Any]:
    """Run a DAG with this many candidates."""
    marks = {kind: started.server.mark for kind in ("mlflow", "airflow") if (started := recall(settings, kind))}
    with sampled(marks) as samples:
        time.sleep(5)
        before = processor_seconds(marks)
        run = airflow.trigger(name, {"candidates": size})
        while airflow.run_state(name, run) not in {"success", "failed"}:
            time.sleep(POLL_SECONDS)
        used = (processor_seconds(marks) - before) / size
        time.sleep(5)
    point = {"candidates": size, **times(airflow, name, run, size), "core": used, "megabytes": summary(samples)}
    print(name, json.dumps(point), flush=True)
    return point


def times(airflow: Airflow, name: str, run: str, size: int) -> dict[str, float]:
    """Return the seconds of the whole mapped task, for each candidate, and inside a candidate."""
    tasks = [task for offset in range(0, size, PAGE) for task in page_of(airflow, name, run, offset)]
    starts, ends = ([moment(task[key]) for task in tasks] for key in ("start_date", "end_date"))
    wall = max(ends) - min(starts)
    inside = [end - start for start, end in zip(starts, ends, strict=True)]
    failed = sum(task["state"] != "success" for task in tasks)
    return {"seconds": wall, "seconds_each": wall / size, "inside": float(np.median(inside)), "failed": float(failed)}


def page_of(airflow: Airflow, name: str, run: str, offset: int) -> list[dict[str, Any]]:
    """List some of the candidates of a run."""
    path = f"/api/v2/dags/{name}/dagRuns/{run}/taskInstances/candidate/listMapped?limit={PAGE}&offset={offset}"
    found: list[dict[str, Any]] = airflow._ask("GET", path)["task_instances"]  # noqa: SLF001 - the client's one request
    return found


def moment(text: str) -> float:
    """Return seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def summary(samples: Samples) -> dict[str, list[float]]:
    """Return part -> megabytes at the beginning, at most, and at the end."""
    return {
        part: [round(value) for value in (values[0], max(values), values[-1])] for part, values in samples.parts.items()
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
