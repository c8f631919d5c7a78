"""docker/compose.yaml, its Dockerfiles and its locks, as far as they can be checked without a container."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stillhouse.tasks.access.accounts import ACCOUNTS, READER
from stillhouse.tasks.local_stack.servers import POOLS
from stillhouse.tasks.pipeline.stages import KINDS

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
PUBLISHED = {"api-server", "mlflow", "server"}
WORKERS = {"worker", "worker-measure"}
DATABASE = {"postgres", "prepare", "mlflow", "api-server", "scheduler", "dag-processor", "triggerer"}
SETTINGS = dict(
    line.split("=", 1)
    for line in (DOCKER / "settings.env").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)
HOSTS: dict[str, Any] = yaml.safe_load((DOCKER / "hosts.yaml").read_text(encoding="utf-8"))["services"]
FURTHER: dict[str, Any] = yaml.safe_load((DOCKER / "worker.yaml").read_text(encoding="utf-8"))
LOCKS = {
    path.stem: dict(re.findall(r"^(\S+)==(\S+) \\$", path.read_text(encoding="utf-8"), re.MULTILINE))
    for path in (ROOT / "requirements.lock", *DOCKER.glob("requirements-*.lock"))
}
each_service = pytest.mark.parametrize("name", SERVICES)


def test_every_part_of_the_stack_is_a_service() -> None:
    """Airflow's four parts, workers, the database, the queue, MLflow, S3 and the model server are there."""
    airflow = {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "worker-measure"}
    assert set(SERVICES) == airflow | {"postgres", "redis", "s3", "mlflow", "server", "prepare"}


@each_service
def test_a_service_can_do_little_in_its_container(name: str) -> None:
    """It is no root, cannot write to its image, has no capabilities and cannot get any."""
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"prepare"}))
def test_a_service_that_stays_has_a_health_check(name: str) -> None:
    """The check has a limit of time, and the service starts again after it ended."""
    assert {"test", "interval", "timeout"} <= set(SERVICES[name]["healthcheck"])
    assert SERVICES[name]["restart"] == "unless-stopped"


@each_service
def test_only_the_pages_and_the_model_server_are_published_to_this_host(name: str) -> None:
    """Their ports are on 127.0.0.1. All other services have the internal network only."""
    service = SERVICES[name]
    assert bool(service.get("ports")) == (name in PUBLISHED)
    assert [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == []
    assert ("edge" in service["networks"]) == (name in PUBLISHED)
    assert "network_mode" not in service


def test_the_inner_networks_lead_nowhere_else() -> None:
    """Airflow's log servers listen at every interface of a worker, and a worker is in the internal network only."""
    assert COMPOSE["networks"] == {"inside": {"internal": True}, "database": {"internal": True}, "edge": {}}
    assert {tuple(SERVICES[name]["networks"]) for name in WORKERS} == {("inside",)}


def test_only_airflows_own_parts_and_mlflow_reach_the_database() -> None:
    """A worker and the model server have neither a network to Postgres nor a password of it."""
    assert {name for name, service in SERVICES.items() if "database" in service["networks"]} == DATABASE
    assert {name for name, each in SERVICES.items() if "postgres_password" in each.get("secrets", [])} == DATABASE


def test_a_worker_of_another_host_is_the_worker_of_this_host() -> None:
    """It has the same image, rights, settings and places, and fewer secrets. It publishes nothing."""
    here, there = SERVICES["worker"], FURTHER["services"]["worker"]
    same = ["image", "user", "read_only", "tmpfs", "cap_drop", "security_opt", "restart", "env_file", "environment"]
    assert {name: there[name] for name in [*same, "healthcheck"]} == {
        name: here[name] for name in [*same, "healthcheck"]
    }
    assert set(there["secrets"]) == set(here["secrets"]) - {"airflow_secret"} == set(FURTHER["secrets"])
    assert "--skip-serve-logs" in there["command"]
    assert "ports" not in there


def test_other_hosts_reach_what_a_worker_waits_for_and_nothing_else() -> None:
    """Redis, S3, MLflow and the API server are published at the address of the closed network."""
    waits = FURTHER["services"]["worker"]["environment"]["WAIT_FOR"].split()
    published = [port for service in HOSTS.values() for port in service["ports"]]
    assert sorted(published) == sorted(
        f"${{STACK_ADDRESS:?}}:{port}:{port}" for port in ("5000", "6379", "8080", "9000")
    )
    assert sorted(HOSTS) == sorted(place.split(":")[0] for place in waits)
    assert [name.split(":")[0] for name in FURTHER["services"]["worker"]["extra_hosts"]] == list(HOSTS)


def test_the_workers_serve_every_queue() -> None:
    """Each queue of a stage has a worker, and so has the queue of tasks that name none."""
    served = {
        queue
        for service in SERVICES.values()
        if "--queues" in service.get("command", [])
        for queue in service["command"][service["command"].index("--queues") + 1].split(",")
    }
    assert served == {kind.queue for kind in KINDS.values()}
    assert SETTINGS["AIRFLOW__OPERATORS__DEFAULT_QUEUE"] in served


def test_measurements_run_alone() -> None:
    """The worker that measures times runs one task at a time and does nothing else."""
    command = SERVICES["worker-measure"]["command"]
    assert command[-4:] == ["--queues", "measure", "--concurrency", "1"]


def test_hosts_share_only_services() -> None:
    """The workers of one host share its lock. No two services have another volume in common, so hosts may differ."""
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert sorted(volumes) == ["host:/state/host", "host:/state/host", "postgres:/data", "redis:/data", "s3:/data"]
    assert all(SERVICES[name]["volumes"] == ["host:/state/host"] for name in ("worker", "worker-measure"))
    assert not any(volume.startswith((".", "/", "~")) for volume in volumes)


def test_every_secret_is_a_file_and_none_is_in_the_environment() -> None:
    """No variable of a service holds a password, and git ignores the folder of the secrets."""
    named = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert named == set(COMPOSE["secrets"])
    variables = {name for service in SERVICES.values() for name in service.get("environment", {})} | set(SETTINGS)
    variables.remove("MLFLOW_TRACKING_PASSWORD_FILE")  # the path of a secret
    assert [name for name in variables if re.search(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|FERNET|CONN$", name)] == []
    assert "/docker/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_model_server_may_only_read() -> None:
    """It reads models through MLflow as the account `reader`, so it needs neither the database nor S3."""
    assert SERVICES["server"]["secrets"] == ["mlflow_reader_password"]
    assert SERVICES["server"]["environment"]["MLFLOW_TRACKING_USERNAME"] == READER


@each_service
def test_an_account_of_mlflow_has_its_password_at_hand(name: str) -> None:
    """A service that names a file of a password has the secret, and it belongs to the account that the service names.

    Only MLflow itself has the passwords of the administrator and of the promoter.
    """
    service = SERVICES[name]
    variables, secrets = service.get("environment", {}), service.get("secrets", [])
    if path := variables.get("MLFLOW_TRACKING_PASSWORD_FILE") if name != "mlflow" else None:
        assert Path(path) == Path("/run/secrets") / f"mlflow_{variables['MLFLOW_TRACKING_USERNAME']}_password"
        assert Path(path).name in secrets
    closed = {"mlflow_admin_password", "mlflow_promoter_password", "mlflow_session_key"}
    assert closed & set(secrets) == (closed if name == "mlflow" else set())


def test_mlflow_is_behind_a_login() -> None:
    """The server runs MLflow's basic-auth app, and has the password of each account."""
    assert "--app-name=basic-auth" in SERVICES["mlflow"]["command"]
    assert {f"mlflow_{account}_password" for account in ACCOUNTS} < set(SERVICES["mlflow"]["secrets"])


def test_stack_sh_makes_every_secret() -> None:
    """A secret that compose.yaml names is one that `make stack` makes if it is missing."""
    text = (DOCKER / "stack.sh").read_text(encoding="utf-8")
    assert [name for name in COMPOSE["secrets"] if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize(
    ("without", "command"),
    [("mlflow_session_key", "mlflow"), ("mlflow_pipeline_password", "mlflow"), ("postgres_password", "mlflow")],
)
def test_a_missing_secret_ends_with_one_sentence(without: str, command: str, tmp_path: Path) -> None:
    """The container's entry names the file and the remedy."""
    for name in {*COMPOSE["secrets"], "airflow_secret"} - {
        without,
        "airflow_secret",
        "airflow_password",
        "signing_key",
    }:
        (tmp_path / name).write_text("long enough for a password", encoding="utf-8")
    for name in ("airflow.sh", "prepare.py"):
        text = (DOCKER / "entry" / name).read_text(encoding="utf-8").replace("/entry/", f"{tmp_path}/")
        text = text.replace("/run/secrets", str(tmp_path)).replace("/tmp/mlflow_auth", f"{tmp_path}/auth")  # noqa: S108
        (tmp_path / name).write_text(text, encoding="utf-8")
    variables = os.environ | {"STILLHOUSE_ROOT": str(ROOT), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", str(tmp_path / "airflow.sh"), command], env=variables, text=True, capture_output=True, check=False
    )
    assert done.returncode != 0
    assert re.fullmatch(
        rf"the secret {without} is missing, empty .*: `make stack` makes this file .*\n", done.stderr
    ), done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_runs_as_nobody_and_takes_its_base_as_an_argument(path: Path) -> None:
    """Each image ends as a user without rights, and installs what its lock pins by hash."""
    text = path.read_text(encoding="utf-8")
    finals = re.split(r"^FROM ", text, flags=re.MULTILINE)
    assert "\nARG BASE=python:3.11-slim-bookworm\n" in f"\n{text}"
    assert "USER 10001:10001" in finals[-1]
    installs = re.findall(r"pip[^&]*? install [^&]*-r \S+", text)
    assert installs
    assert [each for each in installs if "--require-hashes" not in each] == []


def test_the_stack_differs_from_the_lock_of_the_project_by_celery_only() -> None:
    """Airflow's provider does not import with the celery of requirements.lock, so the image has an older one."""
    whole, stack = LOCKS["requirements"], LOCKS["requirements-stack"]
    differing = {name: stack[name] for name in set(whole) & set(stack) if whole[name] != stack[name]}
    assert differing == {"celery": "5.6.3"}
    providers = {"apache-airflow-providers-celery", "apache-airflow-providers-postgres"}
    assert providers | {"psycopg2-binary", "asyncpg", "redis", "mlflow", "torch"} <= set(stack)
    assert not {"pytest", "playwright", "mypy"} & set(stack)


@pytest.mark.parametrize("name", ["requirements-s3", "requirements-serving", "requirements-stack"])
def test_a_lock_of_an_image_has_a_hash_for_every_pin(name: str) -> None:
    """Nothing is installed of which the lock does not know the digest, and nothing is for a GPU."""
    text = (DOCKER / f"{name}.lock").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)[1:]
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert re.findall(r"^(?:nvidia-|cuda-|triton).*|.*(?: /|\.venv|file:/).*$", text, re.MULTILINE) == []


def test_the_scripts_are_valid() -> None:
    """The shells read the scripts without a fault."""
    for path in (*DOCKER.glob("*.sh"), *DOCKER.glob("entry/*.sh")):
        shell = "sh" if path.parent.name == "entry" else "bash"
        assert subprocess.run([shell, "-n", str(path)], check=False).returncode == 0, path


def test_the_pools_have_the_slots_that_compose_names(tmp_path: Path) -> None:
    """`prepare.py` makes each pool of the stages with the slots of the variables, and a second time changes them."""
    slots = {name: "1" for name in SERVICES["prepare"]["environment"] if name.endswith("_SLOTS")}
    assert set(slots) == {f"{name.upper()}_SLOTS" for name in POOLS}
    airflow = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | airflow | {"PATH": path, "PYTHONPATH": f"{DOCKER / 'entry'}:{ROOT / 'src'}"}
    subprocess.run(["airflow", "db", "migrate"], env=environment, capture_output=True, check=True)
    for train in ("1", "3"):
        made = [sys.executable, "-c", "import prepare; prepare.make_pools()"]
        subprocess.run(made, env=environment | slots | {"TRAIN_SLOTS": train}, capture_output=True, check=True)
    with sqlite3.connect(tmp_path / "airflow.db") as database:
        found = dict(database.execute("select pool, slots from slot_pool where pool != 'default_pool'"))
    assert found == {"cpu": 1, "train": 3, "measure": 1}
