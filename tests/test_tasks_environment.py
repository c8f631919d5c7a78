"""The user's shell and file system: what would lead a client or a server of ours astray is mended or refused."""

import getpass
import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import botocore.utils
import httpx
import pytest
import requests
import sqlalchemy
from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.deployment_folders import UNFIT, expect_folders
from stillhouse.tasks.environment import adopt, for_servers
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.local_stack import stack
from stillhouse.tasks.local_stack.servers import MLFLOW
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.connection import connect

ROOT = Path(__file__).resolve().parent.parent
LOCAL = "127.0.0.1,localhost,::1"
USER = {"HOME": "/home/me", "USER": "me", "NO_PROXY": LOCAL, "no_proxy": LOCAL}
"""What an environment has at least when it is mended."""
NOBODY = 54321
"""A user whom this host does not know."""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def mended(given: dict[str, str]) -> dict[str, str]:
    environ = {"HOME": "/home/me", "USER": "me"} | given
    adopt(environ)
    once = dict(environ)
    adopt(environ)
    assert environ == once
    return environ


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({}, {}),
        ({"HTTP_PROXY": "http://proxy:3128"}, {"HTTP_PROXY": "http://proxy:3128"}),
        ({"https_proxy": "proxy.corp:3128"}, {"https_proxy": "proxy.corp:3128"}),
        ({"http_proxy": ""}, {"http_proxy": ""}),
        ({"ALL_PROXY": "socks5://proxy:1080"}, {}),
        ({"all_proxy": "socks://proxy:1080/"}, {}),
        ({"HTTPS_PROXY": "socks5h://proxy:1080"}, {}),
        ({"NO_PROXY": "corp"}, {"NO_PROXY": f"{LOCAL},corp", "no_proxy": f"{LOCAL},corp"}),
        ({"no_proxy": "a, b", "NO_PROXY": "b,c"}, dict.fromkeys(("no_proxy", "NO_PROXY"), f"{LOCAL},a,b,c")),
        ({"no_proxy": "*"}, {"no_proxy": "*", "NO_PROXY": "*"}),
        ({"MLFLOW_TRACKING_URI": ""}, {}),
        ({"MLFLOW_TRACKING_URI": " "}, {}),
        ({"MLFLOW_TRACKING_URI": "http://host:5000/"}, {"MLFLOW_TRACKING_URI": "http://host:5000"}),
        ({"MLFLOW_TRACKING_URI": "https://host/base"}, {"MLFLOW_TRACKING_URI": "https://host/base"}),
        ({"MLFLOW_TRACKING_URI": "http://[::1]:5000"}, {"MLFLOW_TRACKING_URI": "http://[::1]:5000"}),
        ({"MLFLOW_TRACKING_URI": "sqlite:////a/mlflow.db"}, {"MLFLOW_TRACKING_URI": "sqlite:////a/mlflow.db"}),
        ({"MLFLOW_REGISTRY_URI": "databricks-uc"}, {}),
        ({"MLFLOW_REGISTRY_URI": "http://other:5000"}, {}),
        ({"MLFLOW_EXPERIMENT_ID": "7", "MLFLOW_EXPERIMENT_NAME": "x", "MLFLOW_RUN_ID": "y"}, {}),
        ({"MLFLOW_ENABLE_ASYNC_LOGGING": "true"}, {}),
        ({"MLFLOW_TRACKING_TOKEN": "t"}, {"MLFLOW_TRACKING_TOKEN": "t"}),
        ({"MLFLOW_HTTP_REQUEST_TIMEOUT": "9"}, {"MLFLOW_HTTP_REQUEST_TIMEOUT": "9"}),
        ({"AWS_PROFILE": "p", "AWS_ENDPOINT_URL": "http://s3"}, {"AWS_PROFILE": "p", "AWS_ENDPOINT_URL": "http://s3"}),
        ({"DVC_NO_ANALYTICS": "1"}, {"DVC_NO_ANALYTICS": "1"}),
        ({"GIT_DIR": "/other/.git", "GIT_WORK_TREE": "/other"}, {}),
        ({"GIT_INDEX_FILE": "x", "GIT_OBJECT_DIRECTORY": "x", "GIT_COMMON_DIR": "x", "GIT_PREFIX": "x"}, {}),
        ({"GIT_SSH_COMMAND": "ssh -i key", "GIT_AUTHOR_NAME": "me"},
         {"GIT_SSH_COMMAND": "ssh -i key", "GIT_AUTHOR_NAME": "me"}),
        ({"PYTHONHOME": "/usr"}, {}),
        ({"PYTHONPATH": "/ros"}, {"PYTHONPATH": f"{ROOT}/src{os.pathsep}/ros"}),
        ({"PYTHONPATH": f"{ROOT}/src"}, {"PYTHONPATH": f"{ROOT}/src"}),
        ({"TMPDIR": "/nowhere", "TMP": "/dev/null", "TEMP": "/tmp"}, {"TEMP": "/tmp"}),  # noqa: S108 - of a table
        ({"REQUESTS_CA_BUNDLE": "/etc"}, {"REQUESTS_CA_BUNDLE": "/etc"}),
        ({"MPLBACKEND": "module://matplotlib_inline.backend_inline", "MATPLOTLIBRC": "/nowhere"}, {}),
        ({"LANG": "C", "LC_ALL": "C"}, {"LANG": "C", "LC_ALL": "C"}),
        ({"STILLHOUSE_STATE": "", "STILLHOUSE_RUNS": ""}, {}),
        ({"STILLHOUSE_STATE": "state"}, {"STILLHOUSE_STATE": str(Path.cwd() / "state")}),
        ({"STILLHOUSE_RUNS": "../runs"}, {"STILLHOUSE_RUNS": str(Path.cwd().parent / "runs")}),
        ({"STILLHOUSE_ROOT": "."}, {"STILLHOUSE_ROOT": str(Path.cwd())}),
        ({"STILLHOUSE_STATE": "/a/./b/../c"}, {"STILLHOUSE_STATE": "/a/c"}),
        ({"STILLHOUSE_INBOX": "in"}, {"STILLHOUSE_INBOX": str(Path.cwd() / "in")}),
        ({"STILLHOUSE_INBOX": "s3://b/in"}, {"STILLHOUSE_INBOX": "s3://b/in"}),
        ({"STILLHOUSE_DVC_URL": "remote"}, {"STILLHOUSE_DVC_URL": str(Path.cwd() / "remote")}),
        ({"STILLHOUSE_DVC_URL": "s3://b/r"}, {"STILLHOUSE_DVC_URL": "s3://b/r"}),
        ({"HOME": "", "USER": "me"}, {"HOME": str(Path("~root").expanduser())} if os.getuid() == 0 else {}),
    ],
)  # fmt: skip
def test_a_variable_of_the_shell_is_mended(given: dict[str, str], then: dict[str, str]) -> None:
    """Each variable leads where our own servers, folders and code are; what speaks to others is left alone."""
    found = mended(given)
    if given.get("HOME") == "" and not then:
        found.pop("HOME")
        assert found == {name: value for name, value in USER.items() if name != "HOME"}
        return
    assert found == USER | then


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        *(
            ("MLFLOW_TRACKING_URI", uri, r"MLFLOW_TRACKING_URI is .*neither a server .* nor a file .*; mend it")
            for uri in (
                *("./mlruns", "mlruns", "/data/mlruns", "file:///data/mlruns", "databricks", "databricks://profile"),
                *("uc:http://x", "sqlite://", "sqlite:///mlflow.db", "localhost:5000", "127.0.0.1:5000", "http://"),
                *("http://host:port", "http://host:70000", "http://[::1", "https:///x", "ftp://host", "arn:aws:x"),
                "postgresql://host/db",
            )
        ),
        ("MLFLOW_TRACKING_URI", "http://me:word@host", r"holds a name or a password; put those into MLFLOW_TRACKING_U"),
        *(
            (name, value, f"{name} is not the address of a proxy; set it to http://HOST:PORT or unset it")
            for name in ("HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
            for value in ("http://", "http://me:word@host:port", "http://:3128", "http://host:99999", "http://[bad")
        ),
        *(
            (name, "/nowhere/ca.pem", rf"{name} names /nowhere/ca\.pem, which is not there; name a file of cert")
            for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO")
        ),
        *(
            (f"MLFLOW_HTTP_REQUEST_{name}", value, rf"MLFLOW_HTTP_REQUEST_{name} is '{value}', which is no whole n")
            for name, value in (("TIMEOUT", "soon"), ("TIMEOUT", "9.5"), ("MAX_RETRIES", "-1"), ("MAX_RETRIES", "99"))
        ),
        ("STILLHOUSE_STATE", "~no-such-user/state", r"STILLHOUSE_STATE is '~no-such-user/state', which leads nowhere"),
    ],
)
def test_a_variable_that_no_work_can_be_done_with_is_named(name: str, value: str, sentence: str) -> None:
    """One sentence names the variable and the remedy, and repeats no password."""
    with pytest.raises(StillhouseError, match=sentence) as caught:
        mended({name: value})
    assert "word" not in str(caught.value).replace("a password", "")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("AIRFLOW_HOME", "AIRFLOW__CORE__EXECUTOR", "AIRFLOW_CONN_X", "_AIRFLOW_DB_MIGRATE"),
        *("MLFLOW_BACKEND_STORE_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT", "MLFLOW_STATIC_PREFIX", "MLFLOW_WORKERS"),
        *("MLFLOW_REGISTRY_STORE_URI", "MLFLOW_TRACKING_TOKEN", "PYTHONHOME", "PYTHONWARNINGS", "PYTHONOPTIMIZE"),
        *("UVICORN_PORT", "GUNICORN_CMD_ARGS", "FLASK_ENV", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"),
    ],
)
def test_our_servers_take_no_settings_meant_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A variable that configures another Airflow, MLflow or web server reaches none of ours; the rest does."""
    assert for_servers({name: "x", "AWS_PROFILE": "p", "HTTP_PROXY": "y"}) == {"AWS_PROFILE": "p", "HTTP_PROXY": "y"}
    monkeypatch.setenv(name, "x")
    assert MLFLOW.environment(Settings(ROOT, tmp_path, tmp_path, ""), {}, "").get(name) is None


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000"])
@pytest.mark.parametrize(
    "before",
    [
        {},
        {"NO_PROXY": "corp, .internal,*.corp,corp:8080,10.*"},
        {"no_proxy": "10.0.0.0/8,fe80::/10,fd00::/8,fe80::1"},
        {"NO_PROXY": "[::1],[::1]:80,[fe80::1]:80", "no_proxy": "<local>;x"},
        {"NO_PROXY": "corp:port,http://x,https://x:y,a::b::c,:,[,],é,,"},
        {"NO_PROXY": "*"},
    ],
)
def test_no_http_library_asks_a_proxy_for_this_host(
    monkeypatch: pytest.MonkeyPatch, before: dict[str, str], address: str
) -> None:
    """MLflow's, Airflow's, S3's and Python's own clients all read the mended list of exceptions as we mean it."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HTTP_PROXY": "http://proxy:3128", "ALL_PROXY": "socks5://proxy:1080"} | before).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STILLHOUSE_STATE", "/tmp/state")  # noqa: S108 - nothing is written
    load_settings()
    assert requests.utils.get_environ_proxies(address) == {}
    assert urllib.request.proxy_bypass(urllib.parse.urlsplit(address).netloc.rsplit(":", 1)[0].strip("[]"))
    assert "[" in address or botocore.utils.get_environ_proxies(address) == {}  # it does not know ::1 without brackets
    with httpx.Client() as found:
        assert found._transport_for_url(httpx.URL(address)) is found._transport  # noqa: SLF001 - no public question


@pytest.mark.parametrize(
    "given",
    [
        {"HTTP_PROXY": "http://127.0.0.1:9"},
        {"http_proxy": "http://127.0.0.1:9", "no_proxy": "corp"},
        {"ALL_PROXY": "http://127.0.0.1:9", "NO_PROXY": "corp"},
        {"all_proxy": "socks5://127.0.0.1:9"},
        {"MLFLOW_REGISTRY_URI": "databricks-uc"},
        {"MLFLOW_REGISTRY_URI": "sqlite:////nowhere/mlflow.db"},
        {"MLFLOW_EXPERIMENT_ID": "77", "MLFLOW_RUN_ID": "none"},
    ],
)
def test_the_server_is_reached_whatever_the_shell_says(
    client: MlflowClient, registry: str, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    """Runs and registered models of a real MLflow on this host are found past proxies and other registries."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = connect(load_settings().tracking_uri)
    found.create_registered_model("of-this-server")
    assert [model.name for model in client.search_registered_models()] == ["of-this-server"]
    found.set_tag(found.create_run("0").info.run_id, "name", "value")
    assert os.environ["MLFLOW_TRACKING_URI"] == registry


def test_a_registry_elsewhere_is_not_asked(
    client: MlflowClient, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that was opened without the settings keeps to the server it was given, too."""
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    assert list(connect(registry).search_registered_models()) == list(client.search_registered_models())


@contextmanager
def answering(text: str) -> Iterator[str]:
    """A server that says the same to every question."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("answer", "sentence"), [("<html>", "is not MLflow; mend or unset"), ("OK", None)])
def test_another_server_is_not_taken_for_mlflow(answer: str, sentence: str | None) -> None:
    """Whatever answers `/health` in another way than MLflow is named as such."""
    with answering(answer) as address:
        if sentence is None:
            connect(address)
            return
        with pytest.raises(ServiceError, match=f"what answers at {address} {sentence}"):
            connect(address)


def test_no_mlflow_is_a_sentence() -> None:
    """Without a server of this house and without a name of another, the sentence says both remedies."""
    with pytest.raises(ServiceError, match=r"start it with `make up`, or name another in MLFLOW_TRACKING_URI"):
        connect("")


@pytest.mark.parametrize("name", [*sorted(UNFIT - {"\0"}), "a?b", "50% done", "%20", "$HOME", "x:y", "bad\udcff"])
def test_a_path_that_the_servers_misread_is_refused(tmp_path: Path, name: str) -> None:
    """A character that Airflow or MLflow read as something else is named before any database is made elsewhere."""
    state = tmp_path / name / "state"
    with pytest.raises(StillhouseError, match=r"the path .* move the folder, or set STILLHOUSE_STATE to one"):
        expect_folders({"STILLHOUSE_STATE": state}, state)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["with space", "a#b", "ü é 中", "a&b=c", "'q'", '"q"', "(x)", "a@b", "a+b", "a;b", "~x", "[1]", "{x}", "b\\c"],
)
def test_a_path_that_is_only_unusual_holds_its_own_database(tmp_path: Path, name: str) -> None:
    """Such a folder is taken, and the database that MLflow is told of lies in it, and nowhere else."""
    settings = Settings(ROOT, tmp_path / name / "state", tmp_path / name / "runs", "")
    expect_folders({"STILLHOUSE_STATE": settings.state}, settings.state)
    command = MLFLOW.command(settings, {"mlflow": 1})
    uri = command[command.index("--backend-store-uri") + 1]
    engine = sqlalchemy.create_engine(uri)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("create table t (x int)"))
    engine.dispose()
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*.db")] == [Path(name) / "state/mlflow/mlflow.db"]


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    """A state folder that is a file, or lies below one, is one sentence."""
    (tmp_path / "file").write_text("x")
    for state in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(StillhouseError, match=r"file is not a folder; set STILLHOUSE_STATE to one"):
            expect_folders({"STILLHOUSE_STATE": state}, state)


def as_somebody_else(call: Callable[[], object], **variables: str) -> str:
    """Call something as another user, in a process and an environment of its own; a refusal is its sentence."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.environ.clear()
            os.environ.update(variables)
            said = str(call())
        except StillhouseError as error:
            said = f"stillhouse: {error}"
        except BaseException as error:  # noqa: BLE001 - of a forked process, told to the test
            said = f"Traceback: {error!r}"
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def open_to_all(folder: Path) -> None:
    """Let others read a folder of a test, and pass through all that lies above it in the folder for temporary files."""
    root = Path(tempfile.gettempdir())
    for path in (folder, *folder.parents):
        if root in path.parents:
            path.chmod(0o755)


@needs_root
@pytest.mark.parametrize(
    ("theirs", "sentence"),
    [
        (("state",), r"^stillhouse: .*state of root cannot be read and written; mend that, or set STILLHOUSE_STATE"),
        (("state/stack.json",), r"stack\.json belongs to root; give it back \(chown\), or set STILLHOUSE_STATE"),
        (("state/stack.lock",), r"stack\.lock belongs to root; give it back"),
        (("state/logs", "state/logs/mlflow.log"), r"logs belongs to root; give it back"),
        (("state/logs/mlflow.log",), r"mlflow\.log belongs to root; give it back"),
        (("state/mlflow/mlflow.db",), r"mlflow\.db belongs to root; give it back"),
        (("runs",), r"runs of root cannot be read and written; mend that, or set STILLHOUSE_RUNS"),
        ((), r"^\{'mlflow': 'down', 'airflow': 'down'\}$"),
    ],
)
def test_a_folder_of_another_user_is_a_sentence(tmp_path: Path, theirs: tuple[str, ...], sentence: str) -> None:
    """What another user left in a house, or a house that is another's, is named before any work."""
    for file in ("state/stack.json", "state/stack.lock", "state/logs/mlflow.log", "state/mlflow/mlflow.db", "runs/x"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("{}")
    open_to_all(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.relative_to(tmp_path).as_posix() not in theirs:
            os.chown(path, NOBODY, NOBODY)
    places = {"STILLHOUSE_STATE": str(tmp_path / "state"), "STILLHOUSE_RUNS": str(tmp_path / "runs")}
    said = as_somebody_else(lambda: stack.status(load_settings()), **places)
    assert re.search(sentence, said), said


@needs_root
def test_a_user_whom_the_host_does_not_know_can_work(tmp_path: Path) -> None:
    """Without a name, a home and a temporary folder that is there, as in a container, it is known who decides."""
    open_to_all(tmp_path)
    os.chown(tmp_path, NOBODY, NOBODY)
    places = {"STILLHOUSE_STATE": str(tmp_path), "STILLHOUSE_RUNS": str(tmp_path), "TMPDIR": "/nowhere"}
    said = as_somebody_else(lambda: (load_settings().state, getpass.getuser(), Path.home().is_dir()), **places)
    assert said == f"({tmp_path!r}, 'uid-{NOBODY}', True)"


def stillhouse(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stillhouse.tasks.cli", *arguments]
    environ = {"PATH": os.environ["PATH"]} | variables
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env=environ)


@pytest.mark.parametrize(
    ("variables", "code", "sentence"),
    [
        ({"MLFLOW_TRACKING_URI": "./mlruns"}, 1, r"^stillhouse: MLFLOW_TRACKING_URI is './mlruns'"),
        ({"MLFLOW_TRACKING_URI": "databricks"}, 1, r"^stillhouse: MLFLOW_TRACKING_URI is 'databricks'"),
        ({"SSL_CERT_FILE": "/nowhere"}, 1, r"^stillhouse: SSL_CERT_FILE names /nowhere"),
        ({"STILLHOUSE_STATE": "/dev/null"}, 1, r"^stillhouse: /dev/null is not a folder"),
        ({"STILLHOUSE_STATE": "/tmp/a?b"}, 1, r"^stillhouse: the path '/tmp/a\?b' has '\?' in it"),  # noqa: S108
        ({"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}, 0, "^$"),
        ({"ALL_PROXY": "socks5://x:1", "GIT_DIR": "/nowhere", "MLFLOW_REGISTRY_URI": "databricks"}, 0, "^$"),
    ],
)
def test_a_command_in_a_strange_shell_has_no_traceback(variables: dict[str, str], code: int, sentence: str) -> None:
    """Every command looks at the shell first: it works, or ends with one sentence and exit code 1."""
    done = stillhouse("stages", "seed_digits", **variables)
    assert done.returncode == code, done.stderr
    assert re.search(sentence, done.stderr)
    assert done.stderr.count("\n") <= 1


def test_make_starts_python_without_the_shell_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PYTHONHOME or PYTHONPATH of another Python does not reach what `make` starts."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    command = ["make", "--eval", "show: ; @env", "show"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert "/nowhere" not in done.stdout


def test_an_umask_of_its_own_is_kept(tmp_path: Path) -> None:
    """With umask 077, what a house writes can be read by its owner, and a second command finds it."""
    command = (
        f"umask 077; {sys.executable} -m stillhouse.tasks.cli stop && {sys.executable} -m stillhouse.tasks.cli stop"
    )
    environ = os.environ | {"STILLHOUSE_STATE": str(tmp_path / "state"), "STILLHOUSE_RUNS": str(tmp_path / "runs")}
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, cwd=ROOT, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
