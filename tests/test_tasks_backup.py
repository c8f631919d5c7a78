"""A backup of the state folder, restored in a fresh clone in another folder: production goes on there.

The commands are those of docs/operations.md. The servers are real.
"""

import json
import re
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.airflow_rest import Airflow
from stillhouse.tasks.local_stack.servers import AIRFLOW
from stillhouse.tasks.local_stack.stack_record import Addresses
from stillhouse.tasks.provenance.verify import verify
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.promote import Decision, rollback
from stillhouse.tasks.registry.versions import CHAMPION, PREVIOUS, find_aliased, production_of, with_alias
from stillhouse.tasks.serving.open_version import open_served
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.connection import connect

pytestmark = [pytest.mark.serial, pytest.mark.long]

ROOT = Path(__file__).resolve().parent.parent
ARCHIVE = ROOT / "tests" / "states" / "fd83bb0.tar.xz"
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
MODEL, PRODUCTION = "tiny", production_of("tiny")


@dataclass(frozen=True)
class Moved:
    """A deployment that was restored, with what is known of the lost one."""

    addresses: Addresses
    password: str
    expected: dict[str, Any]


def command_of(start: str) -> str:
    """The line of docs/operations.md that begins with some words."""
    found = re.search(rf"^ *({re.escape(start)}.*)$", PAGE, re.MULTILINE)
    assert found, start
    return found[1]


def clone(folder: Path) -> None:
    """Clone the code with its recipes and data.dvc."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    """Back a deployment up, lose it, restore it in a clone of another folder, and start its servers."""
    former, new = (tmp_path_factory.mktemp(name) / "stillhouse" for name in ("former", "new"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("STILLHOUSE_STATE", "STILLHOUSE_RUNS", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        clone(former)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(former / ".stillhouse", filter="data")
        patch.setenv("STILLHOUSE_ROOT", str(former))
        before = stack.start(load_settings(), print)
        Airflow(before).ensure_pool("mine", 3, "a thing that somebody set in Airflow")
        stack.stop(load_settings(), print)
        subprocess.run(command_of("tar -caf"), shell=True, check=True, cwd=former)  # noqa: S602 - as documented
        shutil.rmtree(former)
        clone(new)
        (former.parent / "stillhouse-backup.tar.gz").rename(new.parent / "stillhouse-backup.tar.gz")
        subprocess.run(command_of("tar -xpf"), shell=True, check=True, cwd=new)  # noqa: S602 - as documented
        patch.setenv("STILLHOUSE_ROOT", str(new))
        addresses = stack.start(load_settings(), print)
        patch.setenv("MLFLOW_TRACKING_URI", addresses.mlflow)
        expected = json.loads((new / ".stillhouse" / "expected.json").read_text(encoding="utf-8"))
        try:
            yield Moved(addresses, before.password, expected)
        finally:
            stack.stop(load_settings(), print)


def test_the_champion_is_the_same_and_answers_as_before(restored: Moved) -> None:
    """The alias names the version of before, and the version gives the answer of before."""
    client = connect(restored.addresses.mlflow)
    assert find_aliased(client, PRODUCTION, CHAMPION) == "2"
    champion = with_alias(client, PRODUCTION, CHAMPION, "")
    (answer,) = open_served(champion).answer("pixels", restored.expected["pixels"])
    (before,) = restored.expected["versions"]["2"]["answers"]
    assert answer["class"] == before["class"]
    assert answer["probability"] == pytest.approx(before["probability"], abs=1e-3)


@pytest.mark.usefixtures("restored")
def test_every_version_is_verified() -> None:
    """Files, records and audit are whole, and the signing key is that of before."""
    for version in ("1", "2"):
        assert [fault for _, fault in verify(PRODUCTION, version)] == [None, None, None]


def test_airflow_has_its_users_and_its_settings(restored: Moved) -> None:
    """The password and the pools are those of before."""
    assert restored.addresses.password == restored.password
    with closing(sqlite3.connect(AIRFLOW.database(load_settings()))) as database:
        assert database.execute("select slots from slot_pool where pool = 'mine'").fetchall() == [(3,)]


def test_production_is_rolled_back(restored: Moved) -> None:
    """The previous champion is the champion again, and the audit goes on."""
    client = connect(restored.addresses.mlflow)
    rollback(MODEL, Decision("ben", "after the restore"))
    assert (find_aliased(client, PRODUCTION, CHAMPION), find_aliased(client, PRODUCTION, PREVIOUS)) == ("1", "2")
    assert [(row.action, row.after) for row in audit.rows_of(client, PRODUCTION)][-1] == ("rollback", "1")
