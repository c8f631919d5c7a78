"""Databases of other versions: older ones are migrated, and newer or damaged ones are refused in one sentence."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from mlflow.store import db_migrations
from mlflow.store.db import utils as mlflow_schema

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.servers import AIRFLOW, MLFLOW, Kind
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.schema import MLFLOW_MIGRATIONS, expect_known, is_outdated, migrate_mlflow

KINDS = {"mlflow": MLFLOW, "airflow": AIRFLOW}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A deployment that has started nothing."""
    return Settings(tmp_path, tmp_path / "state", tmp_path / "runs", "")


def stamped(file: Path, version: str) -> Path:
    """Write a database that says its version and has no other table."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        database.execute("INSERT INTO alembic_version VALUES (?)", [version])
    return file


def older_mlflow(file: Path) -> Path:
    """Write the database that MLflow had before its newest migration, with one experiment."""
    engine = mlflow_schema.create_sqlalchemy_engine_with_retry(f"sqlite:///{file}")
    mlflow_schema.InitialBase.metadata.create_all(engine)
    settings = Config()
    settings.set_main_option("script_location", str(Path(db_migrations.__path__[0])))
    settings.set_main_option("sqlalchemy.url", str(engine.url))
    command.upgrade(settings, "head-1")
    engine.dispose()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage, artifact_location) "
            "VALUES (7, 'old', 'active', 'mlflow-artifacts:/7')"
        )
    return file


def test_an_older_mlflow_is_migrated(tmp_path: Path) -> None:
    """A database of older code is outdated, gets the newest schema, and keeps what it holds."""
    file = older_mlflow(tmp_path / "mlflow.db")
    assert is_outdated(file, MLFLOW_MIGRATIONS)
    with pytest.raises(
        ServiceError, match=r"mlflow\.db has an older schema than that of mlflow .*`\.venv/bin/mlflow db up"
    ):
        connect(f"sqlite:///{file}")
    migrate_mlflow(file, os.environ, tmp_path / "log")
    assert not is_outdated(file, MLFLOW_MIGRATIONS)
    found = connect(f"sqlite:///{file}").get_experiment_by_name("old")
    assert found is not None
    assert found.artifact_location == "mlflow-artifacts:/7"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "mlflow.db"]


def test_a_failed_migration_changes_nothing(tmp_path: Path) -> None:
    """If MLflow's own migration fails, one sentence names the database and the log, and the database is as it was."""
    file = stamped(tmp_path / "mlflow.db", "0a8213491aaa")
    before = file.read_bytes()
    with pytest.raises(ServiceError, match=r"mlflow\.db could not be migrated and is as it was; the end of .*log says"):
        migrate_mlflow(file, os.environ, tmp_path / "log")
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "mlflow.db"]
    assert "no such table" in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_newer_database_starts_no_server(settings: Settings, kind: Kind) -> None:
    """A schema that the installed package does not know is refused before any server starts, with the remedy."""
    file = stamped(kind.database(settings), "ffffffffffff")
    told = rf"{file.name} has the schema ffffffffffff, which .* \d.* does not know: newer code wrote it; use the code"
    with pytest.raises(ServiceError, match=told):
        stack.start(settings, print)
    assert stack.status(settings) == {"mlflow": "down", "airflow": "down"}
    assert not (settings.state / "stack.json").exists()


def test_a_newer_database_file_is_not_opened(tmp_path: Path) -> None:
    """A database that MLFLOW_TRACKING_URI names is refused in the same way."""
    with pytest.raises(ServiceError, match=r"mlflow\.db has the schema ffffffffffff, .* newer code wrote it"):
        connect(f"sqlite:///{stamped(tmp_path / 'mlflow.db', 'ffffffffffff')}")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_damaged_database_starts_no_server(settings: Settings, kind: Kind) -> None:
    """A file that is no database is refused before any server starts, with the remedy."""
    stamped(kind.database(settings), "x").write_bytes(b"no database " * 100)
    with pytest.raises(ServiceError, match=r"\.db is damaged \(file is not a database\); .* put back your copy"):
        stack.start(settings, print)
    assert not (settings.state / "stack.json").exists()


def test_a_database_without_schema_is_left_to_its_server(tmp_path: Path) -> None:
    """A file that is not there, or that was just begun, is neither refused nor outdated."""
    (tmp_path / "begun.db").touch()
    for name in ("begun.db", "absent.db"):
        expect_known(tmp_path / name, MLFLOW_MIGRATIONS)
        assert not is_outdated(tmp_path / name, MLFLOW_MIGRATIONS)
    assert not (tmp_path / "absent.db").exists()
