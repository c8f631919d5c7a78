"""Inside a container of the stack: wait for other services, make the buckets and Airflow's pools, tell one's health.

`prepare.py wait PLACE ...` waits for each place. HOST:PORT must accept connections, and `check.py` must accept it.
The place `airflow` waits until Airflow's database is migrated. The place `mlflow-database` migrates MLflow's.
`prepare.py all` migrates Airflow's database, makes pools and buckets, and states the code of the deployment.
A second time changes nothing, unless the image is another one.
`prepare.py code` only states the code of the deployment: workers with other code refuse to work.
`prepare.py accounts` makes MLflow's accounts from the secrets, and the configuration of its login.
`prepare.py account NAME [ROLE]` adds an account, or changes its password, which it reads from its standard input.
`prepare.py health PART` tells whether Airflow's API server knows PART, such as `scheduler`, as healthy.
`prepare.py health worker` tells whether this worker can receive tasks.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

WAIT_SECONDS = 300.0
BUCKETS = ("dvc", "logs", "mlflow")
SECRETS = Path("/run/secrets")
API = "http://api-server:8080"
REDIS_PORT = 6379
ESTABLISHED = "01"
"""State of a connection in Linux' table of connections."""


def wait(places: list[str]) -> None:
    """Wait until every place accepts connections."""
    deadline = time.monotonic() + WAIT_SECONDS
    for place in places:
        if place == "airflow":
            _run("airflow", "db", "check-migrations", "-t", str(int(WAIT_SECONDS)))
            continue
        if place == "mlflow-database":
            migrate_mlflow()
            continue
        host, _, port = place.partition(":")
        while not _accepts(host, int(port)):
            if time.monotonic() > deadline:
                sys.exit(f"{place} did not accept a connection within {WAIT_SECONDS:.0f} s; look at that service's log")
            time.sleep(0.5)
        checked = subprocess.run([sys.executable, str(Path(__file__).with_name("check.py")), place], check=False)
        if checked.returncode:
            sys.exit(checked.returncode)


def _run(*command: str) -> None:
    """Run a command of Airflow. If it fails, end with a sentence below its output."""
    if subprocess.run(command, check=False).returncode:
        sys.exit(
            f"`{' '.join(command)}` failed, and the lines above say why; if this image is older than the database, use "
            "the newer image or restore a backup"
        )


def _accepts(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=2):
            return True
    except OSError:
        return False


def prepare() -> None:
    """Migrate, and make what the other services expect to be there."""
    import boto3

    s3 = boto3.client("s3")
    there = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for bucket in BUCKETS:
        if bucket not in there:
            s3.create_bucket(Bucket=bucket)
    _run("airflow", "db", "migrate")
    make_pools()
    state_code()


def make_pools() -> None:
    """Make Airflow's pools, with the slots of `CPU_SLOTS`, `TRAIN_SLOTS` and `MEASURE_SLOTS`."""
    from stillhouse.tasks.local_stack.servers import POOLS

    pools = {
        name: {"slots": int(os.environ[f"{name.upper()}_SLOTS"]), "description": description, "include_deferred": False}
        for name, (_, description) in POOLS.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pools.json"
        path.write_text(json.dumps(pools), encoding="utf-8")
        _run("airflow", "pools", "import", str(path))


def state_code() -> None:
    """Set Airflow's variable to the code and the packages of this container. Workers compare theirs with it."""
    from stillhouse.tasks.artifacts.deployed_code import VARIABLE, describe_code

    about = "The code of this deployment. Workers with other code refuse to work."
    value = json.dumps(describe_code(), sort_keys=True)
    _run("airflow", "variables", "set", "--description", about, VARIABLE, value)


def migrate_mlflow() -> None:
    """Make MLflow's tables, or bring them to this image's version. A killed migration changes nothing."""
    import mlflow.db

    # The command itself takes the database's password as an argument, which other users of the host can read.
    try:
        mlflow.db.upgrade.callback(os.environ["MLFLOW_BACKEND_STORE_URI"])
    except Exception as error:  # noqa: BLE001 - of MLflow, Alembic, SQLAlchemy or the driver
        said = " ".join(str(error).split())[:300]
        sys.exit(
            f"MLflow's database was not migrated ({said}); if this image is older than the database, use the newer "
            "image or restore a backup"
        )


def prepare_login() -> None:
    """Make MLflow's accounts, roles and the configuration of its login, before the server starts."""
    from stillhouse.tasks.access.accounts import ACCOUNTS, prepare_accounts, write_config

    database = os.environ["STILLHOUSE_MLFLOW_ACCOUNTS"]
    write_config(Path(os.environ["MLFLOW_AUTH_CONFIG_PATH"]), database)
    recipes = Path(os.environ["STILLHOUSE_ROOT"]) / "dags" / "recipes"
    passwords = {name: _secret(f"mlflow_{name}_password") for name in ACCOUNTS}
    prepare_accounts(database, os.environ["MLFLOW_BACKEND_STORE_URI"], recipes, passwords)


def add_account(name: str, role: str | None) -> None:
    """Add an account of MLflow, or change its password, which the standard input gives."""
    from stillhouse.tasks.access.accounts import open_accounts, write_account

    write_account(open_accounts(os.environ["STILLHOUSE_MLFLOW_ACCOUNTS"]), name, sys.stdin.read().strip(), role)


def _secret(name: str) -> str:
    try:
        return (SECRETS / name).read_text(encoding="utf-8").strip()
    except OSError as error:
        sys.exit(f"the secret {SECRETS / name} cannot be read ({error.strerror}); make the file in the secrets' folder")


def health_of_worker() -> None:
    """End with exit code 1 unless this worker has a connection to Redis.

    `celery inspect ping` would say more, but it takes seconds of a core, and a worker may be measuring times.
    """
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    if not any(row[2].endswith(f":{REDIS_PORT:04X}") and row[3] == ESTABLISHED for row in rows):
        sys.exit("the worker is not connected to Redis")


def health(part: str) -> None:
    """End with exit code 1 unless Airflow says that a part of it is healthy."""
    try:
        with urllib.request.urlopen(f"{API}/api/v2/monitor/health", timeout=10) as reply:  # noqa: S310 - our own server
            status = json.load(reply)[part]["status"]
    except OSError as error:
        sys.exit(f"the API server does not answer at {API} ({error})")
    if status != "healthy":
        sys.exit(f"{part} is {status}")


def _end_with_sentence(deed: Callable[[], None]) -> None:
    from stillhouse.tasks.errors import StillhouseError

    try:
        deed()
    except StillhouseError as error:
        sys.exit(f"stillhouse: {error}")


if __name__ == "__main__":
    os.umask(0o077)
    match sys.argv[1:]:
        case ["wait", *places]:
            wait(places)
        case ["all"]:
            prepare()
        case ["code"]:
            state_code()
        case ["accounts"]:
            _end_with_sentence(prepare_login)
        case ["account", name, *roles] if len(roles) <= 1:
            _end_with_sentence(lambda: add_account(name, roles[0] if roles else None))
        case ["health", "worker"]:
            health_of_worker()
        case ["health", part]:
            health(part)
        case _:
            sys.exit(__doc__)
