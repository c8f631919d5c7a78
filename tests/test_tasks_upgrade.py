"""The state folder of an older version under today's code: production goes on, and new versions follow.

`tests/states/make_state.py` wrote the archive with the code of commit fd83bb0. The tests share one state.
"""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import mlflow_server
from light_night import lighten
from mlflow.tracking import MlflowClient
from tiny_house import House, tiny_house

from stillhouse.tasks.judging.champion_comparison import ANSWER
from stillhouse.tasks.local_stack.servers import AIRFLOW
from stillhouse.tasks.provenance.verify import verify
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.promote import Decision, promote, rollback
from stillhouse.tasks.registry.versions import CHAMPION, DIGEST, PREVIOUS, find_aliased, production_of, shippable
from stillhouse.tasks.serving.open_version import open_served
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.connection import connect

ROOT = Path(__file__).resolve().parent.parent
ARCHIVE = ROOT / "tests" / "states" / "fd83bb0.tar.xz"
MODEL, PRODUCTION = "tiny", production_of("tiny")
BEN = Decision("ben", "after the upgrade")


@dataclass(frozen=True)
class Upgraded:
    """An old state under today's MLflow server, and what its versions answered when they were made."""

    house: House
    client: MlflowClient
    expected: dict[str, Any]

    def champion(self) -> tuple[str | None, str | None]:
        """The champion of production, and the version before it."""
        return find_aliased(self.client, PRODUCTION, CHAMPION), find_aliased(self.client, PRODUCTION, PREVIOUS)

    def moves(self) -> list[tuple[str, str | None, str | None]]:
        """What the audit says, if it is whole."""
        return [(row.action, row.before, row.after) for row in audit.rows_of(self.client, PRODUCTION)]


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """Unpack the old state into a new folder, and open it."""
    root = tmp_path_factory.mktemp("house")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root / ".stillhouse", filter="data")
    expected = json.loads((root / ".stillhouse" / "expected.json").read_text(encoding="utf-8"))
    with mlflow_server(root / ".stillhouse" / "mlflow") as address, tiny_house(root, address) as house:
        yield Upgraded(house, connect(address), expected)


def test_the_old_champion_is_found(upgraded: Upgraded) -> None:
    """The aliases and the audit are those that the old version left."""
    assert upgraded.champion() == ("2", "1")
    assert upgraded.moves() == [("promote", None, "1"), ("promote", "1", "2")]


@pytest.mark.parametrize("version", ["1", "2"])
def test_an_old_version_is_whole_and_answers_as_before(upgraded: Upgraded, version: str) -> None:
    """A version is packed in the old format, has the digest and signature of its night, and gives its old answer."""
    found, before = upgraded.client.get_model_version(PRODUCTION, version), upgraded.expected["versions"][version]
    assert found.tags[DIGEST] == before["digest"]
    with shippable(found) as folder:
        assert (folder / "extra_files" / "model.onnx.lzma").read_bytes().startswith(b"SHLZ")
    assert [fault for _, fault in verify(PRODUCTION, version)] == [None, None, None]
    (answer,), (expected,) = open_served(found).answer("pixels", upgraded.expected["pixels"]), before["answers"]
    assert answer["class"] == expected["class"]
    assert answer["probability"] == pytest.approx(expected["probability"], abs=1e-3)


def test_an_old_version_is_rolled_back_to_and_promoted_again(upgraded: Upgraded) -> None:
    """A rollback gives the version before, and a promotion the newer one; no version is copied a second time."""
    rollback(MODEL, BEN)
    assert upgraded.champion() == ("1", "2")
    promote(MODEL, BEN, "2")
    assert upgraded.champion() == ("2", "1")
    assert upgraded.moves()[2:] == [("rollback", "2", "1"), ("promote", "1", "2")]


def test_a_new_version_follows_the_old_ones(upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night of today's code compares its student with the old champion and registers the next number."""
    lighten(monkeypatch)
    assert upgraded.house.run("new/night", until="register")["version"] == "3"
    compared = upgraded.house.output("new/night", "compare_champion") / ANSWER
    found = json.loads(compared.read_text(encoding="utf-8"))
    assert (found["champion"], found["reason"]) == ("2", None)
    promote(MODEL, BEN)
    assert upgraded.champion() == ("3", "2")
    rollback(MODEL, BEN)
    assert upgraded.champion() == ("2", "3")
    assert [fault for _, fault in verify(PRODUCTION, "3")] == [None, None, None]


def test_airflow_leaves_the_former_place_of_a_moved_state_alone(tmp_path: Path) -> None:
    """Airflow's configuration names no path of the place at which the state folder was made."""
    former, moved = (Settings(ROOT, tmp_path / name, tmp_path / "runs", "") for name in ("former", "moved"))
    assert str(former.state) in airflow_settings(former)
    former.state.rename(moved.state)
    assert str(former.state) in (moved.state / "airflow" / "airflow.cfg").read_text(encoding="utf-8")
    found = airflow_settings(moved)
    assert str(former.state) not in found
    assert f"sqlite:///{moved.state}/airflow/airflow.db" in found


def airflow_settings(settings: Settings) -> str:
    """List all settings of Airflow as its processes see them; the first call writes airflow.cfg."""
    environment = AIRFLOW.environment(settings, AIRFLOW.ports, "")
    command = [sys.executable, "-m", "airflow", "config", "list", "--show-values"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
