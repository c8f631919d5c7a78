"""Move the alias `champion`: to the candidate after a person has looked, and back when they were wrong."""

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tasks.errors import StillhouseError
from tasks.register import CANDIDATE, expect_digest
from tasks.settings import load_settings
from tasks.tracking import PREFIX, connect

CHAMPION = "champion"
PREVIOUS = "previous"


def promote(model: str, version: str | None = None) -> str:
    """Make a version the champion (default: the candidate) and keep the former champion as `previous`.

    Returns:
        One sentence that says what changed.

    Raises:
        StillhouseError: no such version, or one that did not pass its gate or is not whole.
    """
    client = connect(load_settings().tracking_uri)
    chosen = _version(client, model, version) if version else _aliased(client, model, CANDIDATE)
    _expect_shippable(chosen)
    champion = aliased_version(client, model, CHAMPION)
    if champion == str(chosen.version):
        return f"{model} version {chosen.version} is the champion already; nothing changed"
    if champion:
        client.set_registered_model_alias(model, PREVIOUS, champion)
    client.set_registered_model_alias(model, CHAMPION, chosen.version)
    return f"{model} version {chosen.version} is the champion now; before it was {_name(champion)}"


def rollback(model: str) -> str:
    """Make the previous champion the champion again, and the other way round.

    Returns:
        One sentence that says what changed.

    Raises:
        StillhouseError: there is no previous champion, or it is not whole.
    """
    client = connect(load_settings().tracking_uri)
    previous = _aliased(client, model, PREVIOUS)
    _expect_shippable(previous)
    champion = aliased_version(client, model, CHAMPION)
    client.set_registered_model_alias(model, CHAMPION, previous.version)
    if champion:
        client.set_registered_model_alias(model, PREVIOUS, champion)
    return f"{model} version {previous.version} is the champion again; before it was {_name(champion)}"


def aliased_version(client: MlflowClient, model: str, alias: str) -> str | None:
    """Give the version an alias points at, or None."""
    try:
        return str(client.get_model_version_by_alias(model, alias).version)
    except MlflowException:
        return None


def _expect_shippable(version: ModelVersion) -> None:
    tags = version.tags
    if tags.get(f"{PREFIX}verdict") != "PASS" or f"{PREFIX}digest" not in tags:
        msg = f"{version.name} version {version.version} did not pass a gate of Stillhouse; promote one that did"
        raise StillhouseError(msg)
    if version.status != "READY":
        msg = f"{version.name} version {version.version} is {version.status}, not READY; register it again"
        raise StillhouseError(msg)
    expect_digest(f"models:/{version.name}/{version.version}", tags[f"{PREFIX}digest"])


def _aliased(client: MlflowClient, model: str, alias: str) -> ModelVersion:
    version = aliased_version(client, model, alias)
    if version is None:
        msg = f"{model} has no version with the alias {alias}; run a nightly that passes, or name a version"
        raise StillhouseError(msg)
    return _version(client, model, version)


def _version(client: MlflowClient, model: str, version: str) -> ModelVersion:
    try:
        return client.get_model_version(model, version)
    except MlflowException as error:
        msg = f"{model} has no version {version}; choose one of MLflow's registry page"
        raise StillhouseError(msg) from error


def _name(version: str | None) -> str:
    return f"version {version}" if version else "none"
