"""docker/entry: what a container of the stack says when a secret, a clock or a service is wrong."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ENTRY = Path(__file__).resolve().parent.parent / "docker" / "entry"
ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>told by the server</Message></Error>"


@contextmanager
def serving(code: str, skew: float = 0.0) -> Iterator[str]:
    """Serve as an S3 server that refuses with a code, or as any HTTP server, whose clock is off by some seconds."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(403 if code else 200, ERROR.format(code).encode() if code else b"<ListBucketResult/>")

        def do_HEAD(self) -> None:
            self._answer(200, b"")

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response_only(status)
            self.send_header("Date", formatdate(time.time() + skew, usegmt=True))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def check(kind: str, address: str) -> subprocess.CompletedProcess[str]:
    """Run a check of check.py with the address of a server of the test."""
    program = (
        f"import sys; sys.path.insert(0, {str(ENTRY)!r}); import check; "
        f"check.CHECKS = {{'127.0.0.1': check.CHECKS[{kind!r}]}}; check.WAIT_SECONDS = 2; check.main({address!r})"
    )
    environment = os.environ | {
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", program]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"])
def test_wrong_credentials_name_the_bucket_and_the_secrets(code: str) -> None:
    """One sentence says which service refuses which secrets for which bucket, and what to do."""
    with serving(code) as address:
        done = check("s3", address)
    assert done.returncode == 1
    told = f"S3 at {address} refuses the secrets s3_access_key and s3_secret_key for the bucket mlflow ({code}); "
    assert done.stderr.startswith(told)
    assert "put the old file back" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "very-secret" not in done.stderr


def test_a_request_out_of_time_names_the_clock() -> None:
    """If S3 refuses a request because of its time, the sentence is about the clock and not about the secrets."""
    with serving("RequestTimeTooSkewed") as address:
        done = check("s3", address)
    assert done.stderr == (
        f"S3 at {address} says that the clock of this host is wrong; set the clocks of both hosts by NTP\n"
    )


@pytest.mark.parametrize(("skew", "side"), [(60.0, "behind"), (-60.0, "ahead of")])
@pytest.mark.parametrize("kind", ["mlflow", "s3"])
def test_a_clock_that_differs_is_refused(kind: str, skew: float, side: str) -> None:
    """The sentence says by how much, and in which direction."""
    with serving("", skew) as address:
        done = check(kind, address)
    assert done.returncode == 1
    seconds, rest = done.stderr.removeprefix("the clock of this host is ").split(" s ", 1)
    assert 55 <= int(seconds) <= 60
    assert rest == f"{side} that of {address}; set the clocks of both hosts by NTP\n"


@pytest.mark.parametrize("skew", [-8.0, 0.0, 8.0])
def test_a_clock_that_differs_by_little_is_accepted(skew: float) -> None:
    """Airflow accepts ten seconds."""
    with serving("", skew) as address:
        assert check("s3", address).returncode == 0


def test_a_service_that_does_not_answer_as_it_should_is_named() -> None:
    """If S3 answers with another error, the check asks again for some time, and then quotes the error."""
    with serving("InternalError") as address:
        done = check("s3", address)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{address} accepts connections and does not answer as it should (")
    assert "InternalError" in done.stderr


def test_other_services_are_not_checked() -> None:
    """A place that check.py does not know is accepted."""
    assert subprocess.run([sys.executable, ENTRY / "check.py", "api-server:8080"], check=False).returncode == 0


@pytest.mark.skipif(Path("/run/secrets/postgres_password").exists(), reason="this machine has secrets")
@pytest.mark.parametrize(
    ("script", "secret"), [("airflow", "s3_access"), ("postgres", "postgres"), ("redis", "redis"), ("s3", "s3_access")]
)
def test_a_missing_secret_is_named_with_the_remedy(script: str, secret: str) -> None:
    """Every container ends with one sentence before it starts anything."""
    done = subprocess.run(["sh", ENTRY / f"{script}.sh", "true"], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"the secret {secret}")
    assert "is missing, empty or not readable: `make stack` makes this file in docker/secrets" in done.stderr
    assert done.stderr.count("\n") == 1
