"""MLflow behind its login: what each account may do, on a real server with the accounts of the stack."""

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from conftest import mlflow_server
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from registry_samples import MODEL, registered

from stillhouse.tasks.access.accounts import ACCOUNTS, prepare_accounts, write_account, write_config
from stillhouse.tasks.cli.serve_alone import await_champion
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.registry.audit import rows_of
from stillhouse.tasks.registry.promote import Decision, promote, rollback
from stillhouse.tasks.registry.status import describe_status
from stillhouse.tasks.registry.versions import CANDIDATE, CHAMPION, find_aliased, production_of
from stillhouse.tasks.retention.facts import Version
from stillhouse.tasks.retention.mlflow_store import mark, open_server
from stillhouse.tasks.serving.follow import Follower
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.tracking.connection import connect

pytest.importorskip("flask_wtf")  # requirements.lock has it, and tests/test_lock.py expects it

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION = production_of(MODEL)
ANN = Decision("ann", "its worst slice is better")
PASSWORDS = {name: secrets.token_hex(12) for name in ACCOUNTS}
ANNA = "anna"
"""A second person who may promote."""
PREPARE = """
import json, sys
from pathlib import Path
from stillhouse.tasks.access.accounts import open_accounts, prepare_accounts, write_account
accounts, tracking, recipes = sys.argv[1:]
passwords = json.load(sys.stdin)
for given in (dict.fromkeys(passwords, "the password before"), passwords):  # the stack does it at each start
    prepare_accounts(accounts, tracking, Path(recipes), given)
write_account(open_accounts(accounts), "anna", passwords["promoter"], "promoter")
"""
As = Callable[[str], MlflowClient]


def prepare(root: Path) -> None:
    """Make the accounts in a process of their own, as the container does. Importing MLflow's app changes a process."""
    (root / "recipes").mkdir()
    (root / "recipes" / f"{MODEL}.yaml").touch()
    places = [f"sqlite:///{root}/accounts.db", f"sqlite:///{root}/mlflow.db", str(root / "recipes")]
    command = [sys.executable, "-W", "ignore", "-c", PREPARE, *places]
    made = subprocess.run(command, input=json.dumps(PASSWORDS), text=True, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of MLflow with a login and the four accounts of the stack."""
    root = tmp_path_factory.mktemp("login")
    prepare(root)
    write_config(root / "auth.ini", f"sqlite:///{root}/accounts.db")
    assert (root / "auth.ini").stat().st_mode & 0o077 == 0
    variables = {
        "MLFLOW_AUTH_CONFIG_PATH": str(root / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(12),
    }
    with mlflow_server(root, ["--app-name", "basic-auth", "--serve-artifacts"], variables) as address:
        yield address


@pytest.fixture
def account(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> As:
    """Become one of the accounts."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    passwords = PASSWORDS | {ANNA: PASSWORDS["promoter"]}

    def become(name: str) -> MlflowClient:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", passwords[name])
        return connect(server)

    return become


@pytest.fixture
def promoted(account: As) -> MlflowClient:
    """One version that the pipeline registered and the promoter promoted."""
    registered(account("pipeline"), 1)
    client = account("promoter")
    promote(MODEL, ANN)
    return client


def ask(server: str, name: str, method: str, path: str, body: object = None) -> int:
    """Send a request as an account, and give the status of the answer."""
    login = (name, PASSWORDS[name])
    return requests.request(method, f"{server}{path}", json=body, auth=login, timeout=30).status_code


def is_refused(deed: Callable[[], object]) -> bool:
    """Tell whether MLflow answers 403."""
    try:
        deed()
    except requests.HTTPError as error:
        return error.response.status_code == requests.codes.forbidden
    except MlflowException as error:
        return bool(error.error_code == "PERMISSION_DENIED")
    return False


def changes(client: MlflowClient, file: Path) -> dict[str, Callable[[], object]]:
    """Everything that changes a run, a model, a version or an alias, once."""
    experiment = client.get_experiment_by_name(MODEL).experiment_id
    run = client.search_runs([experiment])[0].info
    return {
        "create an experiment": lambda: client.create_experiment(f"new {secrets.token_hex(4)}"),
        "create a run": lambda: client.create_run(experiment),
        "log a metric": lambda: client.log_metric(run.run_id, "accuracy", 1.0),
        "log a parameter": lambda: client.log_param(run.run_id, "seed", 1),
        "tag a run": lambda: client.set_tag(run.run_id, "x", "y"),
        "upload an artifact": lambda: client.log_artifact(run.run_id, str(file)),
        "create a logged model": lambda: client.create_logged_model(experiment),
        "create a registered model": lambda: client.create_registered_model(f"new{secrets.token_hex(4)}"),
        "create a version": lambda: client.create_model_version(MODEL, run.artifact_uri, run.run_id),
        "move the candidate": lambda: client.set_registered_model_alias(MODEL, CANDIDATE, "1"),
        "move the champion": lambda: client.set_registered_model_alias(PRODUCTION, CHAMPION, "1"),
        "delete an alias": lambda: client.delete_registered_model_alias(MODEL, CANDIDATE),
        "tag a model": lambda: client.set_registered_model_tag(MODEL, "x", "y"),
        "tag a version": lambda: client.set_model_version_tag(MODEL, "1", "x", "y"),
        "delete a version": lambda: client.delete_model_version(MODEL, "1"),
        "delete a model": lambda: client.delete_registered_model(MODEL),
        "delete a run": lambda: client.delete_run(run.run_id),
        "delete an experiment": lambda: client.delete_experiment(experiment),
    }


ADMINISTRATION = {
    "add an account": ("POST", "/api/2.0/mlflow/users/create", {"username": "eve", "password": "long enough for it"}),
    "become administrator": ("PATCH", "/api/2.0/mlflow/users/update-admin", {"username": "reader", "is_admin": True}),
    "give a role": ("POST", "/api/3.0/mlflow/roles/assign", {"username": "reader", "role_id": 1}),
    "make a demo": ("POST", "/ajax-api/3.0/mlflow/demo/generate", {}),
    "see webhooks": ("GET", "/api/2.0/mlflow/webhooks", None),
}


def test_health_needs_no_login_and_everything_else_does(server: str) -> None:
    """The health check of the stack goes on working; a request without or with a wrong password gets 401."""
    assert requests.get(f"{server}/health", timeout=30).text == "OK"
    api = f"{server}/api/2.0"
    for address in (server, f"{api}/mlflow/registered-models/search", f"{api}/mlflow-artifacts/artifacts/0/x"):
        for login in (None, ("reader", "wrong password"), ("nobody", PASSWORDS["reader"])):
            assert requests.get(address, auth=login, timeout=30).status_code == requests.codes.unauthorized


def test_the_reader_is_refused_every_change(server: str, account: As, promoted: MlflowClient, tmp_path: Path) -> None:
    """An account that may only read cannot write runs, register, promote, change an alias, or delete."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    deeds = changes(account("reader"), tmp_path / "file")
    assert [what for what, deed in deeds.items() if not is_refused(deed)] == []
    refused = {what: ask(server, "reader", *each) for what, each in ADMINISTRATION.items()}
    assert set(refused.values()) == {requests.codes.forbidden}, refused
    assert find_aliased(promoted, PRODUCTION, CHAMPION) == "1"


def test_our_own_commands_say_that_the_reader_may_only_read(account: As, promoted: MlflowClient) -> None:
    """`promote`, `rollback` and the collection end with one sentence that names the account and the remedy."""
    client = account("reader")
    deeds = (
        lambda: promote(MODEL, ANN, "2"),
        lambda: rollback(MODEL, ANN),
        lambda: mark(open_server(load_settings(), client), [Version(MODEL, "1", 0.0, is_ours=True)], []),
    )
    registered(account("pipeline"), 2)
    promote(MODEL, ANN)
    registered(account("pipeline"), 3)
    account("reader")
    for deed in deeds:
        with pytest.raises(ServiceError, match=r"does not let the account reader do this.*may only read.*; ask "):
            deed()
    del promoted


def test_the_reader_reads_what_status_and_the_model_server_need(account: As, promoted: MlflowClient) -> None:
    """Status, the audit, and the champion's files are readable; so is that another recipe has nothing yet."""
    client = account("reader")
    recipe = load_recipe(ROOT / "dags" / "recipes" / "seed_digits.yaml")
    assert describe_status(client, load_settings(), recipe) == []
    lines = describe_status(client, load_settings(), recipe.model_copy(update={"name": MODEL}))
    assert any(line.startswith(f"live: {PRODUCTION} version") for line in lines)
    assert rows_of(client, PRODUCTION)
    await_champion(MODEL)
    follower = Follower(client, PRODUCTION)
    assert follower.current.version == find_aliased(promoted, PRODUCTION, CHAMPION)


def test_a_following_server_tells_a_password_that_was_changed(
    account: As, promoted: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that it serves stays, and the problem names the account."""
    follower = Follower(account("reader"), PRODUCTION)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "changed meanwhile")
    follower.look()
    assert "does not accept the password of the account reader" in str(follower.problem)
    assert follower.current.version == find_aliased(account("promoter"), PRODUCTION, CHAMPION)
    del promoted


def test_the_promoter_changes_production_and_nothing_of_a_night(promoted: MlflowClient, tmp_path: Path) -> None:
    """The promoter moves the champion of a recipe's production model. Runs and the candidates are closed."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    deeds = changes(promoted, tmp_path / "file")
    allowed = {what for what, deed in deeds.items() if not is_refused(deed)}
    assert allowed == {"create an experiment", "create a registered model", "move the champion"}


def test_the_promoter_promotes_over_what_the_pipeline_promoted(account: As) -> None:
    """A role gives the right to production models that another account made."""
    registered(account("pipeline"), 11)
    promote(MODEL, ANN)
    registered(account("pipeline"), 12)
    client = account(ANNA)
    before = find_aliased(client, PRODUCTION, CHAMPION)
    assert "is the champion now" in promote(MODEL, ANN)
    assert "is the champion now" in rollback(MODEL, ANN)
    assert find_aliased(client, PRODUCTION, CHAMPION) == before


def test_the_pipeline_administers_no_account(server: str, account: As) -> None:
    """The account of the workers adds no account, and gives nobody a role."""
    account("pipeline")
    for what in ("add an account", "become administrator", "give a role", "see webhooks"):
        assert ask(server, "pipeline", *ADMINISTRATION[what]) == requests.codes.forbidden, what


def test_a_short_password_or_an_unknown_role_is_refused_with_a_sentence(tmp_path: Path) -> None:
    """The message names the account or the role, before any database is opened."""
    with pytest.raises(StillhouseError, match="account promoter has fewer than 12 characters; write a longer one"):
        prepare_accounts("sqlite://", "sqlite://", tmp_path, PASSWORDS | {"promoter": "short"})
    with pytest.raises(StillhouseError, match="no role 'chief'; use one of pipeline, promoter, or none for an account"):
        write_account(None, "anna", "long enough for it", "chief")
