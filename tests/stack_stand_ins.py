"""A stand-in for podman: it runs the commands of containers on this machine, with a real Postgres and a real S3."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bucket_samples import bucket_server

ROOT = Path(__file__).resolve().parent.parent
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
PORT = str(20_000 + os.getpid() % 40_000)
"""Names the socket. Nothing listens at a port."""
TOOLS = ("podman-compose", "buildah", "runc", "debootstrap", "openssl")
PODMAN = r"""#!/bin/bash
# Containers have the name of their service. They are there while the file `up` is, and volumes while `volumes` is.
echo "podman $*" | head -n 1 >> "$STAND_IN/calls"
case "$1 $2" in
    "ps -aq")
        [ -e "$STAND_IN/up" ] || exit 0
        for word in "$@"; do
            case $word in *compose.service=*) echo "${word##*=}" && exit 0 ;; esac
        done
        echo worker ;;
    "volume ls") [ ! -e "$STAND_IN/volumes" ] || echo stillhouse_postgres ;;
    "inspect --format") echo exited 0 ;;
    "image inspect") echo 0 ;;
    exec*)
        shift
        while :; do
            case $1 in -i) shift ;; -e) shift 2 ;; *) break ;; esac
        done
        shift
        [ "$1" != /entry/airflow.sh ] || shift
        exec "$@" ;;
esac
"""
COMPOSE = '#!/bin/bash\necho "compose $*" >> "$STAND_IN/calls"\ntouch "$STAND_IN/up" "$STAND_IN/volumes"\n'


@dataclass(frozen=True)
class Stack:
    """A stack whose engine is a stand-in."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run `docker/stack.sh`."""
        command = [ROOT / "docker" / "stack.sh", *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=self.environment)

    def query(self, database: str, sql: str) -> str:
        """Ask Postgres."""
        command = ["psql", "--host=/tmp", "--username=stillhouse", f"--dbname={database}", "-Atc", sql]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=self.environment)
        return done.stdout.strip()

    def calls(self) -> list[str]:
        """What was asked of the engine since the last time."""
        file = self.folder / "calls"
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines

    @property
    def secrets(self) -> Path:
        """The folder of the secrets."""
        return Path(self.environment["STACK_SECRETS"])


@contextmanager
def postgres() -> Iterator[None]:
    """Run Postgres on a socket of /tmp, with the rights of its own user if the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="stillhouse-postgres-") as folder:
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        if user:
            shutil.chown(folder, "postgres", "postgres")
        data, server = f"--pgdata={folder}/data", str(POSTGRES[-1] / "pg_ctl")
        options = f"-p {PORT} -c listen_addresses= -c unix_socket_directories=/tmp -c fsync=off"
        initdb = [str(POSTGRES[-1] / "initdb"), data, "--username=stillhouse", "--auth=trust", "--encoding=UTF8"]
        start = [server, data, "--wait", f"--log={folder}/log", f"--options={options}", "start"]
        for command in (initdb, start):
            subprocess.run([*user, *command], check=True, stdout=subprocess.DEVNULL, cwd="/")
        try:
            yield
        finally:
            subprocess.run([*user, server, data, "--mode=immediate", "stop"], check=True, capture_output=True, cwd="/")


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Set up the stand-ins, Postgres and S3."""
    tools = folder / "bin"
    tools.mkdir()
    scripts = dict.fromkeys(TOOLS, "#!/bin/sh\n") | {"podman": PODMAN, "podman-compose": COMPOSE}
    scripts["id"] = "#!/bin/sh\necho 0\n"
    for name, text in scripts.items():
        (tools / name).write_text(text, encoding="utf-8")
        (tools / name).chmod(0o755)
    (tools / "python").symlink_to(sys.executable)
    with postgres(), bucket_server() as s3:
        environment = os.environ | {
            "PATH": f"{tools}:{POSTGRES[-1]}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PGPORT": PORT,
            "STAND_IN": str(folder),
            "STACK_SECRETS": str(folder / "secrets"),
            "BASE": "base",
            "TMPDIR": str(folder),
            "AWS_ENDPOINT_URL": s3,
            "AWS_ACCESS_KEY_ID": "someone",
            "AWS_SECRET_ACCESS_KEY": "very-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "STILLHOUSE_STATE": str(folder),
        }
        yield Stack(folder, environment)


def forget(running: Stack) -> None:
    """Let the host have no stack any more."""
    for name in ("up", "volumes", "calls"):
        (running.folder / name).unlink(missing_ok=True)
    shutil.rmtree(running.secrets, ignore_errors=True)
