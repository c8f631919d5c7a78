"""The two servers of the embedded stack: command, environment and health address of each.

Airflow makes its secrets (the password and the signing keys) itself, in the state folder, which only its owner can
read. No secret is passed on a command line or written to a log of Stillhouse.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stillhouse.tasks.environment import adopt, for_servers
from stillhouse.tasks.settings import Settings
from stillhouse.tasks.tracking.schema import AIRFLOW_MIGRATIONS, MLFLOW_MIGRATIONS, Migrations

HOST = "127.0.0.1"
AIRFLOW_PARTS = 4
"""Number of child processes of `airflow standalone`: scheduler, DAG processor, API server, triggerer."""
TASK_SLOTS = 3
"""Number of parallel tasks. One trains and one measures, of which one waits for the other, and one is light."""
OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""OpenTelemetry's own variable. If it is set, Airflow sends its metrics there."""
POOLS = {
    "cpu": (TASK_SLOTS, "Light stages"),
    "train": (1, "Stages that train: one for each worker that trains"),
    "measure": (1, "Stages that measure times: one for each host that measures"),
}
"""Airflow's pools: name -> slots and description. The pool of a stage is its queue."""
MEASURE_POOL = "measure"
"""The pool of tasks that are no stages and would disturb a measurement on this host."""


@dataclass(frozen=True)
class Kind:
    """The definition of one kind of server."""

    ports: dict[str, int]
    """Name -> preferred port. The port with the server's own name answers HTTP."""
    command: Callable[[Settings, dict[str, int]], list[str]]
    environment: Callable[[Settings, dict[str, int], str], dict[str, str]]
    """Builds the environment from the settings, the chosen ports and MLflow's address."""
    database: Callable[[Settings], Path]
    migrations: Migrations


def _mlflow_command(settings: Settings, ports: dict[str, int]) -> list[str]:
    database = _mlflow_database(settings)
    database.parent.mkdir(parents=True, exist_ok=True)
    options = {
        "--host": HOST,
        "--port": str(ports["mlflow"]),
        "--workers": "1",
        "--backend-store-uri": f"sqlite:///{database}",
        "--artifacts-destination": str(database.with_name("artifacts")),
    }
    arguments = [part for option in options.items() for part in option]
    return [sys.executable, "-m", "mlflow", "server", *arguments, "--serve-artifacts"]


def _mlflow_database(settings: Settings) -> Path:
    return settings.state / "mlflow" / "mlflow.db"


def _mlflow_environment(settings: Settings, _ports: dict[str, int], _tracking_uri: str) -> dict[str, str]:
    return _common_environment(settings)


def _airflow_command(_settings: Settings, _ports: dict[str, int]) -> list[str]:
    return [sys.executable, "-m", "airflow", "standalone"]


def _common_environment(settings: Settings) -> dict[str, str]:
    environ = dict(os.environ)
    adopt(environ)
    return for_servers(environ) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(settings.root / "src"),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "STILLHOUSE_ROOT": str(settings.root),
        "STILLHOUSE_STATE": str(settings.state),
        "STILLHOUSE_RUNS": str(settings.runs),
        "DO_NOT_TRACK": "true",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _airflow_environment(settings: Settings, ports: dict[str, int], tracking_uri: str) -> dict[str, str]:
    address, home = f"http://{HOST}:{ports['airflow']}", _airflow_home(settings)
    options = {
        # airflow.cfg has the path at which the state folder was first made. These win, so that the folder may move.
        "CORE__PLUGINS_FOLDER": home / "plugins",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{_airflow_database(settings)}",
        "LOGGING__BASE_LOG_FOLDER": home / "logs",
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": home / "logs" / "dag_processor",
        "CORE__DAGS_FOLDER": settings.root / "dags",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": TASK_SLOTS,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "API__HOST": HOST,
        "API__PORT": ports["airflow"],
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "LOGGING__WORKER_LOG_SERVER_PORT": ports["airflow_worker_logs"],
        "LOGGING__TRIGGER_LOG_SERVER_PORT": ports["airflow_trigger_logs"],
        "DAG_PROCESSOR__REFRESH_INTERVAL": 10,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__PRINT_STATS_INTERVAL": 0,  # the table was two thirds of the server's log, 5 MB an hour
        # Short, so that tasks follow each other quickly, but long enough to leave the cores to the training.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.8,
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 20,
        # If a task's supervisor is killed, this is noticed within one minute instead of five.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 45,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 30,
        # After most tasks the supervisor waits once for this long, until it sees that the process has ended.
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 2,
        "USAGE_DATA_COLLECTION__ENABLED": False,
        "METRICS__OTEL_ON": OTLP_ENDPOINT in os.environ,
    }
    airflow = {f"AIRFLOW__{name}": str(value) for name, value in options.items()}
    places = {"AIRFLOW_HOME": str(home), "MLFLOW_TRACKING_URI": tracking_uri}
    return _common_environment(settings) | places | airflow


def password_file(settings: Settings) -> Path:
    """Return the file in which Airflow keeps the generated password of its only user, `admin`."""
    return _airflow_home(settings) / "simple_auth_manager_passwords.json.generated"


def _airflow_database(settings: Settings) -> Path:
    return _airflow_home(settings) / "airflow.db"


def _airflow_home(settings: Settings) -> Path:
    home = settings.state / "airflow"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return home


MLFLOW = Kind({"mlflow": 5000}, _mlflow_command, _mlflow_environment, _mlflow_database, MLFLOW_MIGRATIONS)
AIRFLOW = Kind(
    {"airflow": 8080, "airflow_worker_logs": 8793, "airflow_trigger_logs": 8794},
    _airflow_command,
    _airflow_environment,
    _airflow_database,
    AIRFLOW_MIGRATIONS,
)
