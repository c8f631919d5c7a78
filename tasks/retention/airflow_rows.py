"""Delete old rows from the database of the embedded Airflow, with `airflow db clean`.

The history of events about new data stays: the ingestion reads there which data version it announced last.
"""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from stillhouse.tasks.errors import ServiceError
from stillhouse.tasks.local_stack.servers import AIRFLOW
from stillhouse.tasks.settings import Settings

TABLES = (
    *("dag_run", "task_instance", "task_instance_history", "xcom", "task_reschedule", "task_state_store"),
    *("log", "job", "callback", "deadline", "trigger", "import_error", "dag_version"),
)
FOUND = re.compile(r"^Found (\d+) rows", re.MULTILINE)
IN_A_TASK = "AIRFLOW_CTX_DAG_ID"
"""Variable that Airflow sets in each task."""
OLDEST = "select min(coalesce(start_date, queued_at)) from dag_run where state in ('queued', 'running')"


def clean_rows(settings: Settings, cutoff: float, *, delete: bool) -> int:
    """Count the rows that are older than a moment and than every unfinished run, or delete them.

    `airflow db clean` also deletes runs that have not ended, such as a question that still waits for a person.

    Args:
        settings: the deployment.
        cutoff: the moment, in epoch seconds.
        delete: delete the rows.

    Returns:
        Number of rows. It is 0 if the deployment has no embedded Airflow.

    Raises:
        ServiceError: Airflow cannot clean its database, or this is a task of an Airflow whose database is elsewhere.
    """
    database = AIRFLOW.database(settings)
    if not database.exists():
        _expect_no_airflow()
        return 0
    moment = min(datetime.fromtimestamp(cutoff, UTC), _oldest_unfinished(database)).isoformat()
    command = [sys.executable, "-m", "airflow", "db", "clean", "--clean-before-timestamp", moment]
    command += ["--yes", "--skip-archive", "--tables", ",".join(TABLES)]
    command += ["--error-on-cleanup-failure"] if delete else ["--dry-run"]
    environment = AIRFLOW.environment(settings, AIRFLOW.ports, "")
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode:
        reason = ((done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
        msg = f"`airflow db clean` failed ({reason}); mend that and run `stillhouse gc` again"
        raise ServiceError(msg)
    return sum(map(int, FOUND.findall(done.stdout)))


def _expect_no_airflow() -> None:
    """Refuse to call an Airflow clean that a worker cannot reach."""
    if IN_A_TASK in os.environ:
        msg = (
            "old rows of Airflow stay, because a worker has no access to Airflow's database; run `airflow db clean "
            f"--skip-archive --tables {','.join(TABLES)} --clean-before-timestamp DATE` in the container of the "
            "scheduler, with a date before each unfinished run"
        )
        raise ServiceError(msg)


def _oldest_unfinished(database: Path) -> datetime:
    """Return when the oldest unfinished run began; now, if there is none."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            ((oldest,),) = connection.execute(OLDEST)
    except sqlite3.Error as error:
        msg = f"Airflow's database {database} cannot be read ({error}); `make up` mends it"
        raise ServiceError(msg) from error
    return datetime.fromisoformat(oldest).replace(tzinfo=UTC) if oldest else datetime.now(UTC)
