"""The variables of the user's shell, mended or refused before any work of ours starts.

`load_settings` calls `adopt` first, so every command and every Airflow task works in the same, checked environment.
Variables that only speak to other programs are left alone. `for_servers` says what the embedded servers inherit.
"""

import getpass
import ipaddress
import os
import pwd
import tempfile
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from stillhouse.tasks.errors import ServiceError, StillhouseError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
PLACES = ("STILLHOUSE_ROOT", "STILLHOUSE_STATE", "STILLHOUSE_RUNS", "STILLHOUSE_INBOX", "STILLHOUSE_DVC_URL")
CERTIFICATES = (
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "AWS_CA_BUNDLE", "GIT_SSL_CAINFO"),
    *("MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
)
REPOSITORY = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE"),
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE", "GIT_PREFIX"),
)
"""Where git set them (a hook, `git rebase --exec`) they point at another repository than ours."""
ELSEWHERE_IN_MLFLOW = (
    *("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID", "MLFLOW_RUN_CONTEXT"),
    *("MLFLOW_ACTIVE_MODEL_ID", "MLFLOW_ENABLE_ASYNC_LOGGING"),
)
"""They choose another registry or run, or a write that is not there yet when the call returns."""
DRAWING = ("MPLBACKEND", "MATPLOTLIBRC")
"""A notebook sets them for its own windows; the report draws into files, at the end of a night."""
NUMBERS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 10,
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": 120,
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": 120,
    "MLFLOW_HTTP_REQUEST_TIMEOUT": 86400,
}
"""The most that MLflow's client, or reason, takes."""
OF_OTHER_SERVERS = (
    *("AIRFLOW", "_AIRFLOW", "MLFLOW_", "PYTHON", "UVICORN_", "GUNICORN_", "FLASK_", "SQLALCHEMY_"),
    *("WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"),
)
"""Prefixes of variables that configure a server or an interpreter of the user's own."""
Environ = MutableMapping[str, str]


def adopt(environ: Environ) -> None:
    """Mend an environment in place; doing so again changes nothing.

    Raises:
        StillhouseError: a variable has a value that no work can be done with; names it and the remedy.
    """
    steps: tuple[Callable[[Environ], None], ...] = (
        _drop,
        _mend_proxies,
        _mend_home,
        _mend_python,
        _mend_places,
        _expect_certificates,
        _expect_numbers,
        _mend_tracking,
    )
    for step in steps:
        step(environ)


def for_servers(environ: Mapping[str, str]) -> dict[str, str]:
    """What the embedded servers inherit: all but the settings of some other Airflow, MLflow, web server or Python."""
    return {name: value for name, value in environ.items() if not name.startswith(OF_OTHER_SERVERS)}


def _drop(environ: Environ) -> None:
    """Drop what points our clients elsewhere, and our own variables that are set to nothing."""
    for name in list(environ):
        empty = name.startswith(("STILLHOUSE_", "MLFLOW_")) and not environ[name].strip()
        if empty or name in (*REPOSITORY, *ELSEWHERE_IN_MLFLOW, *DRAWING):
            del environ[name]


def _mend_proxies(environ: Environ) -> None:
    """Ask no proxy for this host, and drop the kinds of proxies that no client of ours speaks."""
    for name in (*PROXIES, *map(str.lower, PROXIES)):
        value = environ.get(name, "")
        proxy = _split(value if "://" in value else f"http://{value}")
        if value and proxy and proxy.scheme not in {"http", "https"}:
            del environ[name]
        elif value and not (proxy and proxy.hostname):
            msg = f"{name} is not the address of a proxy; set it to http://HOST:PORT or unset it"
            raise ServiceError(msg)
    given = [name.strip() for each in ("no_proxy", "NO_PROXY") for name in environ.get(each, "").split(",")]
    mended = "*" if "*" in given else ",".join(dict.fromkeys([*LOOPBACK, *filter(None, map(_spell_exception, given))]))
    environ.update({"NO_PROXY": mended, "no_proxy": mended})


def _spell_exception(name: str) -> str:
    """Write one exception as all our HTTP libraries take it; empty where one of them breaks on any way to write it.

    Airflow's, httpx, raises for brackets, for networks of IPv6 and for ports that are none, whatever is asked of it.
    """
    name = name.removeprefix("[").partition("]")[0]
    _, colon, port = name.partition(":")
    if not name.isascii() or (colon and not port.isdecimal() and not _is_ipv6(name)):
        return ""
    return name


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _mend_home(environ: Environ) -> None:
    """Give a user whom this host does not know a name and a home, and everybody a temporary folder that is there."""
    for name in ("TMPDIR", "TEMP", "TMP"):
        if name in environ and not os.access(environ[name], os.W_OK | os.X_OK):
            del environ[name]
    if not environ.get("HOME"):
        environ["HOME"] = _find_home() or tempfile.gettempdir()
    try:
        getpass.getuser()
    except (KeyError, OSError):
        environ["USER"] = f"uid-{os.getuid()}"


def _find_home() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""


def _mend_python(environ: Environ) -> None:
    """Have the Python processes that are started from here find this code before any other of the same name."""
    environ.pop("PYTHONHOME", None)
    if others := environ.get("PYTHONPATH"):
        code = str(Path(__file__).resolve().parent.parent / "src")
        environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([code, *others.split(os.pathsep)]))


def _mend_places(environ: Environ) -> None:
    """Make relative folders absolute, as seen from where the command was typed."""
    for name in PLACES:
        if name in environ and "://" not in environ[name]:
            environ[name] = _absolute(name, environ[name])


def _absolute(name: str, value: str) -> str:
    try:
        return os.path.abspath(Path(value).expanduser())  # noqa: PTH100 - resolve() would follow links
    except (OSError, RuntimeError) as error:
        msg = f"{name} is {value!r}, which leads nowhere from here ({error}); set it to a whole path"
        raise StillhouseError(msg) from error


def _expect_certificates(environ: Environ) -> None:
    for name in CERTIFICATES:
        if environ.get(name) and not Path(environ[name]).exists():
            msg = f"{name} names {environ[name]}, which is not there; name a file of certificates or unset it"
            raise StillhouseError(msg)


def _expect_numbers(environ: Environ) -> None:
    for name, most in NUMBERS.items():
        value = environ.get(name, "0")
        if not (value.isascii() and value.isdecimal() and int(value) <= most):
            msg = f"{name} is {value!r}, which is no whole number up to {most}; mend or unset it"
            raise StillhouseError(msg)


def _mend_tracking(environ: Environ) -> None:
    if "MLFLOW_TRACKING_URI" in environ:
        environ["MLFLOW_TRACKING_URI"] = _tracking(environ["MLFLOW_TRACKING_URI"].strip().rstrip("/"))


def _tracking(uri: str) -> str:
    """Check the address of MLflow: a server, or a database file for trying things out."""
    parts = _split(uri)
    if parts and parts.scheme in {"http", "https"} and parts.hostname:
        if "@" not in parts.netloc:
            return uri
        wrong, remedy = "holds a name or a password", "put those into MLFLOW_TRACKING_USERNAME and _PASSWORD"
    elif uri.startswith("sqlite:////"):
        return uri
    else:
        wrong = f"is {uri!r}, which is neither a server (http://HOST:PORT) nor a file (sqlite:////WHOLE/PATH)"
        remedy = "mend it, or unset it for the MLflow that `make up` starts"
    msg = f"MLFLOW_TRACKING_URI {wrong}; {remedy}"
    raise ServiceError(msg)


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises unless it is a number that a port can have
    except ValueError:
        return None
    return parts
