"""The schema version of a server's database file, and the versions that the installed server knows.

Airflow and MLflow both use Alembic: each migration is a file that names its version and the version before it. These
files are read and not imported, because this code does not import Airflow. Databases of other kinds are not looked at.
"""

import importlib.metadata
import importlib.util
import re
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stillhouse.models.aside import remove_abandoned, write_aside
from stillhouse.tasks.errors import ServiceError

VERSION = re.compile(r"^revision\b[^=\n]*= *[\"'](\w+)", re.MULTILINE)
BEFORE = re.compile(r"^down_revision\b[^=\n]*=(.*)$", re.MULTILINE)
QUOTED = re.compile(r"[\"'](\w+)[\"']")
REMEDY = "use the code that wrote it, or put back your copy of the state folder; docs/upgrade.md says how"


@dataclass(frozen=True)
class Migrations:
    """The migrations that a package brings for its own database."""

    package: str
    """The import name."""
    distribution: str
    folder: str
    """Folder of the migrations in the package."""

    @property
    def name(self) -> str:
        """The distribution with its installed version."""
        return f"{self.distribution} {importlib.metadata.version(self.distribution)}"


MLFLOW_MIGRATIONS = Migrations("mlflow", "mlflow", "store/db_migrations/versions")
AIRFLOW_MIGRATIONS = Migrations("airflow", "apache-airflow", "migrations/versions")


def expect_known(file: Path, migrations: Migrations) -> None:
    """Check that the installed package knows the schema of a database.

    Raises:
        ServiceError: the file is damaged, or newer code wrote it.
    """
    version = _read_version(file)
    if version is not None and version not in _find_versions(migrations)[0]:
        msg = f"{file} has the schema {version}, which {migrations.name} does not know: newer code wrote it; {REMEDY}"
        raise ServiceError(msg)


def is_outdated(file: Path, migrations: Migrations) -> bool:
    """Tell whether a known schema of a database is older than the newest one.

    A file that does not exist, or that has no schema yet, is not outdated. Its server makes the schema.
    """
    return _read_version(file) not in {None, _find_versions(migrations)[1]}


def migrate_mlflow(file: Path, environment: Mapping[str, str], log: Path) -> None:
    """Bring MLflow's database to the newest schema. A copy is migrated and then renamed, so a kill does no harm.

    Args:
        file: the database, which no server uses.
        environment: the environment of MLflow's own command.
        log: gets the output of that command.

    Raises:
        ServiceError: MLflow's own migration failed; the database is as it was.
    """
    remove_abandoned(file.parent)
    log.parent.mkdir(parents=True, exist_ok=True)
    with write_aside(file) as aside, log.open("ab") as stream:
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(aside)) as copy:
            source.backup(copy)
        command = [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{aside}"]
        done = subprocess.run(command, check=False, env=environment, stdout=stream, stderr=subprocess.STDOUT)  # noqa: S603 - our own command
        if done.returncode:
            msg = f"{file} could not be migrated and is as it was; the end of {log} says why; {REMEDY}"
            raise ServiceError(msg)


def _read_version(file: Path) -> str | None:
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(file)) as database:
            rows = database.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.OperationalError:  # no schema yet, or locked: the server itself says what is wrong
        return None
    except sqlite3.DatabaseError as error:
        msg = f"{file} is damaged ({error}); {REMEDY}"
        raise ServiceError(msg) from error
    return str(rows[0][0]) if rows else None


@cache
def _find_versions(migrations: Migrations) -> tuple[frozenset[str], str]:
    """Return all versions that a package knows, and the newest of them."""
    spec = importlib.util.find_spec(migrations.package)
    folders = spec.submodule_search_locations if spec else None
    texts = [
        path.read_text(encoding="utf-8")
        for folder in folders or ()
        for path in (Path(folder) / migrations.folder).glob("*.py")
    ]
    known = frozenset(version for text in texts for version in VERSION.findall(text))
    before = {version for text in texts for line in BEFORE.findall(text) for version in QUOTED.findall(line)}
    (newest,) = known - before
    return known, newest
