"""An MLflow of files in the state folder: a database and a folder of artifacts, without a server."""

import logging
from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from stillhouse.models.aside import remove_abandoned, write_aside
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.connection import FILE


def local_database(settings: Settings) -> Path:
    """Return the path of the database, which may not be there."""
    return settings.state / "local" / "mlflow.db"


def make_local_store(settings: Settings) -> str:
    """Return the address of the local MLflow, which is made first if there is none.

    MLflow makes its tables in many steps, and a process that is killed between two steps leaves a database that MLflow
    refuses. So the database is made aside.
    """
    database = local_database(settings)
    with waiting(database.with_name(".lock")):
        if not database.exists():
            remove_abandoned(database.parent)
            with write_aside(database) as aside:
                _make(aside)
    return f"{FILE}{database}"


def _make(database: Path) -> None:
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    store = SqlAlchemyStore(f"{FILE}{database}", (database.parent / "artifacts").as_uri())
    store.engine.dispose()
