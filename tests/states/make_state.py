"""Write the state folder of a small deployment with the code of an older commit, for `test_tasks_upgrade.py`.

It imports that commit's code and tests, so their packages must be those of that commit's lock:

    git worktree add --detach OLD fd83bb0
    cd tests/states && PYTHONPATH=OLD/src:OLD/tests python make_state.py fd83bb0.tar.xz

Two real nights register two versions of the recipe `tiny`. Version 1 is promoted, then version 2. The archive lacks
what a host makes again by itself (data, its own copies of stage outputs, logs) and the pages about the data. Beside the
state lies `expected.json`: what each version answered.
"""

import json
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml
from tiny_house import House, tiny_house

from stillhouse.tasks.local_stack.ports import choose_ports
from stillhouse.tasks.local_stack.processes import end, spawn
from stillhouse.tasks.local_stack.servers import MLFLOW
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import CHAMPION, DIGEST, production_of, with_alias
from stillhouse.tasks.serving.served import open_served
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.runs import connect

MODEL, SEEDS = "tiny", (7, 8)
STATE, KEPT, DROPPED = ".stillhouse", ("keys", "mlflow", "production"), "data_docs"
SMALL = {"teacher": {"channels": 8, "hidden": 16}, "student": {"channels": 8}}
"""Arguments of the networks, so that the archive stays small."""
PIXELS = [[[[(row * 8 + column) % 17 * 15 for column in range(8)] for row in range(8)]]]
"""One picture of 8 x 8 pixels."""


@contextmanager
def mlflow_server(state: Path) -> Iterator[str]:
    """Start MLflow as `stillhouse up` does."""
    settings = Settings(Path.cwd(), state, state.parent / "runs", "")
    ports = choose_ports({"mlflow": 5600})
    server = spawn(MLFLOW.command(settings, ports), MLFLOW.environment(settings, ports, ""), state / "log")
    address = f"http://127.0.0.1:{ports['mlflow']}"
    while not _answers(address):
        time.sleep(0.5)
    try:
        yield address
    finally:
        end(server.mark)


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=5).ok
    except requests.RequestException:
        return False


def run_nights(house: House) -> dict[str, Any]:
    """Register and promote one version for each seed; returns what the versions answer."""
    client, found = connect(house.settings.tracking_uri), {}
    content = yaml.safe_load(house.recipe.read_text(encoding="utf-8"))
    content["teacher"]["network"]["arguments"] = SMALL["teacher"]
    content["steps"][0]["network"]["arguments"] = SMALL["student"]
    for seed in SEEDS:
        house.recipe.write_text(yaml.safe_dump(content | {"seed": seed}), encoding="utf-8")
        version = str(house.run(f"old/{seed}", until="register")["version"])
        promote(MODEL, Decision("ann", f"seed {seed} passed"))
        champion = with_alias(client, production_of(MODEL), CHAMPION, "")
        answers = open_served(champion).answers["pixels"](PIXELS)
        found[version] = {"digest": champion.tags[DIGEST], "answers": answers}
    return found


def _keep(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if DROPPED in Path(member.name).parts else member


def main() -> None:
    """Write the archive."""
    out = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "house"
        os.environ["STILLHOUSE_TEST_DATA"] = scratch
        with mlflow_server(root / STATE) as address, tiny_house(root, address) as house:
            expected = {"pixels": PIXELS, "versions": run_nights(house)}
        (root / STATE / "expected.json").write_text(json.dumps(expected), encoding="utf-8")
        with tarfile.open(out, "w:xz", preset=9) as archive:
            for name in (*KEPT, "expected.json"):
                archive.add(root / STATE / name, name, filter=_keep)


if __name__ == "__main__":
    main()
