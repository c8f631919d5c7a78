"""`docker/stack.sh backup` and `restore` with a real Postgres and an S3 server; the container engine is a stand-in."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from stack_stand_ins import POSTGRES, Stack, forget, stack

pytestmark = pytest.mark.skipif(not POSTGRES, reason="Postgres is not installed on this machine")

OBJECTS = {
    ("dvc", "files/md5/ab/cdef"): b"rows",
    ("logs", "dag_id=a/attempt=1.log"): b"a line",
    ("mlflow", "1/run/artifacts/model.onnx"): bytes(range(256)) * 40_000,
    ("mlflow", "1/run/artifacts/empty"): b"",
    ("mlflow", f"1/run/artifacts/{'long' * 60}/ümlaut here.txt"): b"text",
}
SECRETS = {name: f"the {name}" for name in ("airflow_fernet_key", "postgres_password", "signing_key")}
ALIASES = "select name, alias, version from registered_model_aliases order by 2"


def client(running: Stack) -> Any:
    """A client of the S3 server."""
    return boto3.client(
        "s3",
        endpoint_url=running.environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="someone",
        aws_secret_access_key="very-secret",  # noqa: S106 - moto accepts every key
        region_name="us-east-1",
    )


def objects(running: Stack) -> dict[tuple[str, str], bytes]:
    """All objects of all buckets."""
    s3 = client(running)
    return {
        (bucket, entry["Key"]): s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
        for bucket in ("dvc", "logs", "mlflow")
        for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    }


def empty(running: Stack) -> None:
    """Let the services be as those of a new stack are: databases and buckets without content."""
    for name in ("airflow", "mlflow", "mlflow_users"):
        running.query("postgres", f"drop database if exists {name}")
    for name in ("airflow", "mlflow"):
        running.query("postgres", f"create database {name}")
    s3 = client(running)
    for bucket, key in objects(running):
        s3.delete_object(Bucket=bucket, Key=key)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stand-ins, which all tests share."""
    with stack(tmp_path_factory.mktemp("stack")) as running:
        for bucket in ("dvc", "logs", "mlflow"):
            client(running).create_bucket(Bucket=bucket)
        yield running


def fill(engine: Stack) -> None:
    """Give a stack a champion, its objects and its secrets."""
    engine.query("postgres", "create database mlflow_users")
    engine.query("airflow", "create table dag_run (id int); insert into dag_run values (7)")
    engine.query("mlflow", "create table registered_model_aliases (name text, alias text, version int)")
    engine.query("mlflow", "insert into registered_model_aliases values ('m', 'champion', 2), ('m', 'previous', 1)")
    engine.query("mlflow_users", "create table users (name text); insert into users values ('ann')")
    for (bucket, key), content in OBJECTS.items():
        client(engine).upload_fileobj(io.BytesIO(content), bucket, key)


def show(engine: Stack) -> None:
    """Let the host have a running stack with secrets."""
    forget(engine)
    engine.secrets.mkdir()
    for name, text in SECRETS.items():
        (engine.secrets / name).write_text(text, encoding="utf-8")
    for name in ("up", "volumes"):
        (engine.folder / name).touch()


@pytest.fixture(scope="module")
def made(engine: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a stack, which is gone now."""
    empty(engine)
    fill(engine)
    show(engine)
    folder = tmp_path_factory.mktemp("made") / "backup"
    done = engine.run("backup", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def running(engine: Stack) -> Stack:
    """A stack that runs, with secrets; its databases and buckets are those that the last test left."""
    show(engine)
    return engine


@pytest.fixture
def backup(engine: Stack, made: Path, tmp_path: Path) -> Path:
    """A backup, for a host that has no stack."""
    forget(engine)
    return shutil.copytree(made, tmp_path / "backup")


def test_a_restore_gives_the_same_stack(engine: Stack, backup: Path) -> None:
    """Rows, aliases, objects and secrets are those of the backup; nothing that works starts before they are there."""
    empty(engine)
    done = engine.run("restore", backup)
    assert done.returncode == 0, done.stdout + done.stderr
    assert engine.query("mlflow", ALIASES) == "m|champion|2\nm|previous|1"
    assert engine.query("airflow", "select id from dag_run") == "7"
    assert engine.query("mlflow_users", "select name from users") == "ann"
    assert objects(engine) == OBJECTS
    assert {name: (engine.secrets / name).read_text(encoding="utf-8") for name in SECRETS} == SECRETS
    assert done.stdout.endswith("in production:\nm champion 2\n")
    starts = [line.partition(" up ")[2] for line in engine.calls() if line.startswith("compose")]
    assert starts == ["-d --no-build postgres redis s3", "-d --no-build prepare mlflow", "-d --no-build"]


def test_only_its_owner_can_read_a_backup(backup: Path) -> None:
    """The folder holds the secrets, so it is closed to everybody else."""
    assert backup.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in backup.rglob("*"))
    assert {path.name for path in (backup / "secrets").iterdir()} == set(SECRETS)


def test_a_backup_does_not_write_over_files(running: Stack, tmp_path: Path) -> None:
    """A folder that has a file is refused and stays as it is; so does the rest of a backup that was killed."""
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    done = running.run("backup", tmp_path)
    assert (done.returncode, done.stdout) == (1, f"[docker/stack] {tmp_path} is not empty; name a new folder\n")
    (tmp_path / "new.partial").mkdir()
    done = running.run("backup", tmp_path / "new")
    assert f"{tmp_path}/new.partial is what a backup left that did not end; delete it" in done.stdout
    assert [line for line in running.calls() if line.startswith("podman exec")] == []


def test_a_backup_that_fails_leaves_nothing(running: Stack, tmp_path: Path) -> None:
    """If S3 does not answer, there is no folder that could be taken for a backup."""
    running.environment["AWS_ENDPOINT_URL"], address = "http://127.0.0.1:9", running.environment["AWS_ENDPOINT_URL"]
    try:
        done = running.run("backup", tmp_path / "backup")
    finally:
        running.environment["AWS_ENDPOINT_URL"] = address
    assert done.returncode == 1
    assert "the objects could not be copied" in done.stderr
    assert "the backup did not end, and nothing is left of it" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_stack_that_does_not_run_has_no_backup(running: Stack, tmp_path: Path) -> None:
    """The sentence says how to start it."""
    (running.folder / "up").unlink()
    done = running.run("backup", tmp_path / "backup")
    assert done.returncode == 1
    assert "the service postgres does not run; start the stack with `make stack`" in done.stdout


def alter(backup: Path) -> None:
    """Change one byte."""
    file = backup / "objects.tar"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def shorten(backup: Path) -> None:
    """Lose the end of a file, as a copy to a full disk does."""
    file = backup / "mlflow.dump"
    file.write_bytes(file.read_bytes()[:-9])


def lose(backup: Path) -> None:
    """Lose a file."""
    (backup / "secrets" / "signing_key").unlink()


def add(backup: Path) -> None:
    """Have a file more."""
    (backup / "other.dump").write_bytes(b"")


@pytest.mark.parametrize("damage", [alter, shorten, lose, add])
def test_a_damaged_backup_is_refused_before_anything_is_touched(engine: Stack, backup: Path, damage: Any) -> None:
    """Its files are compared with the manifest first."""
    damage(backup)
    done = engine.run("restore", backup)
    assert done.returncode == 1
    assert f"{backup} is damaged: its files are not those of its manifest.sha256; use another backup" in done.stdout
    assert engine.calls() == []
    assert not engine.secrets.exists()


def test_a_folder_that_is_no_backup_is_refused(running: Stack, tmp_path: Path) -> None:
    """A backup that did not end has no manifest."""
    done = running.run("restore", tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path} is not a backup: it has no manifest.sha256" in done.stdout


def test_a_restore_spares_a_stack_that_has_data(engine: Stack, backup: Path) -> None:
    """A host with volumes of a stack is refused, whether its containers run or not."""
    (engine.folder / "volumes").touch()
    done = engine.run("restore", backup)
    assert done.returncode == 1
    assert "this host has a stack, and a restore would mix its data" in done.stdout
    assert not [line for line in engine.calls() if line.startswith(("compose", "podman exec"))]


def test_a_restore_spares_other_secrets(engine: Stack, backup: Path) -> None:
    """A file of another stack's secrets is not replaced."""
    engine.secrets.mkdir()
    (engine.secrets / "signing_key").write_text("another", encoding="utf-8")
    done = engine.run("restore", backup)
    assert done.returncode == 1
    assert f"{engine.secrets}/signing_key is not that of the backup; move it away, then restore" in done.stdout
    shutil.rmtree(engine.secrets)


@pytest.mark.parametrize("name", ["airflow_fernet_key", "postgres_password", "signing_key"])
def test_a_secret_of_a_stack_with_data_is_not_made_again(running: Stack, name: str) -> None:
    """`up` names the missing file and starts nothing; a new file would not fit the data."""
    (running.secrets / name).unlink()
    done = running.run("up")
    assert done.returncode == 1
    told = f"the stack has data, and the secret {running.secrets}/{name} is missing or empty; put the file back"
    assert told in done.stdout
    assert not (running.secrets / name).exists()
    assert not [line for line in running.calls() if line.startswith("compose")]
