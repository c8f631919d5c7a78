"""Seconds and memory of reading the DAG files with many recipes, as the DAG processor and as each task reads them.

`.venv/bin/python benchmarks/scale/recipes.py` takes some minutes. The recipes are copies of `seed_digits`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from points import keep

ROOT = Path(__file__).resolve().parents[2]
SIZES = (10, 50, 100, 200, 500, 1000)
FILES = ("nightly", "promotion", "rollback", "ingest")
READ = """
import json, resource, sys, time
import airflow.sdk
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.serialization.serialized_objects import DagSerialization

begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
module = __import__(f"stillhouse.dags.{sys.argv[1]}", fromlist=["x"])
read = time.process_time() - begun
dags = [dag for dag in vars(module).values() if isinstance(dag, airflow.sdk.DAG)]
content = [json.dumps(DagSerialization.to_dict(dag)) for dag in dags] if sys.argv[2] == "all" else []
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = {"read": read, "stored": time.process_time() - begun - read, "megabytes": (peak - before) / 1024}
print(json.dumps(found | {"dags": len(dags), "bytes": sum(map(len, content))}))
"""


def main() -> None:
    """Print and keep a point for each number of recipes."""
    points = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        text = (ROOT / "dags" / "recipes" / "seed_digits.yaml").read_text(encoding="utf-8")
        shipped = len(list((ROOT / "dags" / "recipes").glob("*.yaml")))
        for size in SIZES:
            for number in range(size - shipped):
                name = f"copy_{number:05}"
                (folder / f"{name}.yaml").write_text(text.replace("name: seed_digits", f"name: {name}"), "utf-8")
            points.append({"recipes": max(size, shipped), **measure(folder)})
            print(json.dumps(points[-1]), flush=True)
    keep("recipes", points)


def measure(folder: Path) -> dict[str, float]:
    """Read every file as the DAG processor does, then the file of the nights as a task of one night does."""
    found = [read(folder, file, "all") for file in FILES]
    total = {name: sum(each[name] for each in found) for name in ("read", "stored", "bytes", "dags")}
    task = read(folder, "nightly", "one")
    return total | {
        "megabytes": max(each["megabytes"] for each in found),
        "nightly": found[0]["read"],
        "task": task["read"],
    }


def read(folder: Path, file: str, kind: str) -> dict[str, float]:
    """Read one file in a new process. Seconds are of the processor's time."""
    environment = os.environ | {"STILLHOUSE_RECIPES": str(folder), "AIRFLOW_HOME": str(folder / "airflow")}
    if kind == "one":
        environment["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = "nightly_seed_digits"
    done = subprocess.run([sys.executable, "-c", READ, file, kind], env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
