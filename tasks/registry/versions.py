"""Versions in MLflow's registry.

A recipe's model holds the versions that passed its gate. Its production model holds the versions that were promoted.
"""

import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.student_file import download_verified
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.tracking.answers import AbsentError, answering
from stillhouse.tasks.tracking.tags import PREFIX

CANDIDATE = "candidate"
CHAMPION = "champion"
PREVIOUS = "previous"
NOBODY = "none"
"""Result of `champion_of` if nothing is in production."""
DIGEST = f"{PREFIX}digest"
VERDICT = f"{PREFIX}verdict"


def production_of(model: str) -> str:
    """Return the name of a recipe's production model."""
    return f"{model}-production"


def find_aliased(client: MlflowClient, model: str, alias: str) -> str | None:
    """Return the version that an alias points at, or `None`.

    The model is asked, not the alias: of a model that is not there, an MLflow with a login denies the alias.

    Raises:
        ServiceError: MLflow does not answer.
    """
    try:
        with answering():
            version = client.get_registered_model(model).aliases.get(alias)
    except AbsentError:
        return None
    return None if version is None else str(version)


def version_of(client: MlflowClient, model: str, version: str) -> ModelVersion:
    """Look up a version.

    Raises:
        StillhouseError: there is no version of that number.
        ServiceError: MLflow does not answer.
    """
    try:
        with answering():
            return client.get_model_version(model, version)
    except AbsentError as error:
        msg = f"{model} has no version {version}; choose one of MLflow's registry page"
        raise StillhouseError(msg) from error


def version_with_alias(client: MlflowClient, model: str, alias: str) -> ModelVersion | None:
    """Look up the version that an alias points at, or return `None`."""
    version = find_aliased(client, model, alias)
    return None if version is None else version_of(client, model, version)


def with_alias(client: MlflowClient, model: str, alias: str, remedy: str) -> ModelVersion:
    """Look up the version that an alias points at.

    Raises:
        StillhouseError: the alias points at no version. The error ends with the remedy.
    """
    version = version_with_alias(client, model, alias)
    if version is None:
        msg = f"{model} has no version with the alias {alias}; {remedy}"
        raise StillhouseError(msg)
    return version


def is_champion(client: MlflowClient, model: str, version: ModelVersion) -> bool:
    """Tell whether the evaluated file of a version is the file in production."""
    champion = version_with_alias(client, production_of(model), CHAMPION)
    return champion is not None and DIGEST in version.tags and champion.tags.get(DIGEST) == version.tags[DIGEST]


@contextmanager
def shippable(version: ModelVersion, parts: Collection[str] = ()) -> Iterator[Path]:
    """Download a version into a temporary folder, and check that it passed its gate and has the evaluated digest.

    Args:
        version: the version.
        parts: see `download_model`.

    Raises:
        StillhouseError: the version did not pass, is incomplete, or is not the evaluated file.
        ServiceError: MLflow does not answer.
    """
    name = f"{version.name} version {version.version}"
    if version.tags.get(VERDICT) != "PASS" or DIGEST not in version.tags:
        msg = f"{name} did not pass a gate of Stillhouse; promote one that did"
        raise StillhouseError(msg)
    if version.status != "READY":
        msg = f"{name} is {version.status}, not READY; register it again"
        raise StillhouseError(msg)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"models:/{version.name}/{version.version}"
        yield download_verified(uri, version.tags[DIGEST], Path(folder), parts)


def version_with_digest(client: MlflowClient, model: str, digest: str) -> ModelVersion | None:
    """Find the version of a model whose file has this digest."""
    versions = client.search_model_versions(f"name = '{model}'")
    return next((version for version in versions if version.tags.get(f"{PREFIX}digest") == digest), None)


def champion_of(client: MlflowClient, model: str) -> str:
    """Return the champion as `VERSION:DIGEST`, or `none`. The stage uses this value as an input."""
    champion = version_with_alias(client, production_of(model), CHAMPION)
    return f"{champion.version}:{champion.tags.get(DIGEST, '')}" if champion else NOBODY
