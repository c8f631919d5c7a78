"""Seconds of MLflow's look-ups against the number of runs that it has, and the runs that it takes in each second.

`.venv/bin/python benchmarks/scale/tracking.py` uses SQLite. `... tracking.py postgresql://...` uses that empty database
(its driver must be installed). Runs are written into the tables directly, with the tags of a stage. Look-ups go through
MLflow's server, as those of a stage do.
"""

import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from memory import Samples
from mlflow.entities import Metric, Param, RunTag
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun, SqlTag
from mlflow.tracking import MlflowClient
from points import keep

from stillhouse.tasks.local_stack.ports import choose_ports
from stillhouse.tasks.local_stack.processes import end, spawn
from stillhouse.tasks.retention.facts import read_facts
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.runs import Nightly, find_finished, find_nightly

SIZES = (1_000, 5_000, 20_000, 100_000)
EXPERIMENTS, STAGES, TURNS, WRITTEN = 100, 15, 15, 20
GC_MOST = 20_000
"""With more runs, the facts of `gc` are not read here."""
FILLED = 11
"""Tags of a stage's run besides those that are searched."""


def main(database: str) -> None:
    """Print and keep a point for each number of runs."""
    points, runs = [], 0
    with tempfile.TemporaryDirectory() as temporary, served(Path(temporary), database) as (address, uri, mark):
        client, engine = connect(address), sqlalchemy.create_engine(uri)
        experiments = [client.create_experiment(f"recipe_{number}") for number in range(EXPERIMENTS)]
        for size in SIZES:
            last = write_nights(engine, experiments, runs, size)
            runs = size
            points.append({"runs": size, **measure(client, experiments[-1], last, size), **server(mark)})
            print(json.dumps(points[-1]), flush=True)
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE INDEX stillhouse_tags ON tags (key, value)"))
        points.append({"runs": size, "indexed": True, **measure(client, experiments[-1], last, 0), **server(mark)})
        print(json.dumps(points[-1]), flush=True)
    keep(f"tracking_{uri.partition(':')[0].partition('+')[0]}", points)


@contextmanager
def served(folder: Path, database: str) -> Iterator[tuple[str, str, str]]:
    """Serve a new MLflow; gives its address, the database's and the mark of its processes."""
    uri, port = database or f"sqlite:///{folder}/mlflow.db", choose_ports({"mlflow": 5200})["mlflow"]
    options = {"--host": "127.0.0.1", "--port": str(port), "--workers": "1", "--backend-store-uri": uri}
    arguments = [part for option in (*options.items(), ("--artifacts-destination", str(folder))) for part in option]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = spawn([sys.executable, "-m", "mlflow", "server", *arguments], os.environ | quiet, folder / "log")
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    try:
        while True:
            try:
                connect(address)
                break
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
        yield address, uri, server.mark
    finally:
        end(server.mark)


def write_nights(engine: sqlalchemy.Engine, experiments: list[str], start: int, stop: int) -> str:
    """Write nights of one parent and its stages into the tables; gives the last night's run key."""
    now, key, parent = int(time.time() * 1000), "", ""
    for first in range(start, stop, 5_000):
        runs, tags = list[dict[str, Any]](), list[dict[str, str]]()
        for number in range(first, min(first + 5_000, stop)):
            run, experiment = uuid.uuid4().hex, experiments[number // (STAGES + 1) % len(experiments)]
            times = {"start_time": now + number, "end_time": now + number + 1}
            runs.append(
                {
                    "run_uuid": run,
                    "name": "x",
                    "user_id": "x",
                    "status": "FINISHED",
                    "lifecycle_stage": "active",
                    **times,
                }
            )
            runs[-1] |= {"experiment_id": int(experiment), "artifact_uri": f"mlflow-artifacts:/{experiment}/{run}"}
            if not parent or number % (STAGES + 1) == 0:
                parent, key = run, f"nightly_x/{number}"
                tags.append({"run_uuid": run, "key": "stillhouse.run_key", "value": key})
                continue
            own = {"mlflow.parentRunId": parent, "stillhouse.stage": "x", "stillhouse.stage_key": uuid.uuid4().hex}
            filled = {f"stillhouse.filled_{index}": "0123456789abcdef" for index in range(FILLED)}
            tags += [{"run_uuid": run, "key": name, "value": value} for name, value in (own | filled).items()]
        with engine.begin() as connection:
            connection.execute(sqlalchemy.insert(SqlRun), runs)
            connection.execute(sqlalchemy.insert(SqlTag), tags)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("ANALYZE"))
        assert connection.scalar(sqlalchemy.select(sqlalchemy.func.count()).select_from(SqlExperiment))  # noqa: S101
    return key


def measure(client: MlflowClient, experiment: str, run_key: str, size: int) -> dict[str, float]:
    """Return the least seconds of each look-up, and of a stage's writes."""
    night = Nightly(client, experiment, uuid.uuid4().hex)
    found = {
        "find_finished": seconds(lambda: find_finished(client, uuid.uuid4().hex)),
        "find_nightly": seconds(lambda: find_nightly(client, "recipe_0", run_key)),
        "children": seconds(night.children),
        "write_stage": seconds(lambda: write_stage(client, experiment), WRITTEN),
    }
    return found | ({"gc_facts": seconds(lambda: read_facts(client), 1)} if 0 < size <= GC_MOST else {})


def write_stage(client: MlflowClient, experiment: str) -> None:
    """Write what a stage's run has: tags, parameters, metrics, the end."""
    run = client.create_run(experiment, tags={"stillhouse.stage": "written"}).info.run_id
    for index in range(FILLED):
        client.set_tag(run, f"stillhouse.filled_{index}", "0123456789abcdef")
    metrics = [Metric(f"metric_{index}", 1.0, 0, 0) for index in range(10)]
    client.log_batch(run, metrics, [Param("a", "b")], [RunTag("c", "d")])
    client.set_terminated(run)


def seconds(work: Callable[[], object], turns: int = TURNS) -> float:
    """Return the least seconds of some work, which other work on the machine changes least."""
    found = []
    for _ in range(turns):
        begun = time.monotonic()
        work()
        found.append(time.monotonic() - begun)
    return min(found)


def server(mark: str) -> dict[str, float]:
    """Return the server's megabytes."""
    samples = Samples()
    samples.add({"mlflow": mark})
    return {"megabytes": round(samples.parts["mlflow"][0])}


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
