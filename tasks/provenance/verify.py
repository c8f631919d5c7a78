"""Check a version against its provenance record, and the record against its signature. Every result is reported."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.artifact import json_digest
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.provenance.places import place_of
from stillhouse.tasks.provenance.signing import check_signature
from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.probe import probe
from stillhouse.tasks.registry.versions import DIGEST, production_of, shippable, version_of
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.tracking.answers import AbsentError, answering, download_output
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.tags import PREFIX


def verify(model: str, version: str) -> Iterator[tuple[str, str | None]]:
    """Check a version of a recipe's model or of its production model.

    Yields:
        The name of a check, and its fault or `None`.

    Raises:
        StillhouseError: the version does not exist.
        ServiceError: MLflow does not answer, so the checks have no result.
    """
    settings = load_settings()
    client = connect(settings.tracking_uri)
    chosen = version_of(client, model, version)
    checks: dict[str, Callable[[], None]] = {
        "the file is whole, the one that was judged, and answers": lambda: _check_file(chosen),
        "the provenance record is the registered one, signed by this deployment": lambda: _check_signed(
            client, settings, chosen
        ),
        "the audit is unaltered": lambda: _check_audit(client, model),
    }
    for name, check in checks.items():
        yield name, _fault(check)


def fetch_record(client: MlflowClient, version: ModelVersion) -> dict[str, Any]:
    """Fetch a version's provenance record from its nightly run.

    Raises:
        StillhouseError: MLflow does not have the record.
        ServiceError: MLflow does not answer.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            night = version.tags[f"{PREFIX}nightly_run"]
            path = download_output(client, night, place_of(version).path, Path(folder))
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (KeyError, AbsentError, ValueError) as error:
        name = f"{version.name} version {version.version}"
        msg = f"{name} has no provenance record in MLflow ({error}); run its recipe again"
        raise StillhouseError(msg) from error
    return document


def _check_file(version: ModelVersion) -> None:
    with shippable(version) as folder:
        probe(folder)


def _check_signed(client: MlflowClient, settings: Settings, version: ModelVersion) -> None:
    fetch_signed_record(client, settings, version)


def fetch_signed_record(client: MlflowClient, settings: Settings, version: ModelVersion) -> dict[str, Any]:
    """Fetch and check a version's provenance record.

    The record must be the registered one, name the version's file, and have this deployment's signature.

    Raises:
        StillhouseError: the record is missing or wrong. The error says what to do.
    """
    document = fetch_record(client, version)
    if json_digest(document) != version.tags.get(place_of(version).tag):
        msg = "the provenance record is not the one that the version was registered with; register the model again"
        raise StillhouseError(msg)
    check_signature(settings, document)
    if document["file"]["digest"] != version.tags.get(DIGEST):
        msg = "the provenance record is of another file; register the model again"
        raise StillhouseError(msg)
    return document


def _check_audit(client: MlflowClient, model: str) -> None:
    suffix = production_of("")
    with answering():
        audit.rows_of(client, model if model.endswith(suffix) else production_of(model))


def _fault(check: Callable[[], None]) -> str | None:
    try:
        check()
    except ServiceError:
        raise  # the version could not be checked
    except StillhouseError as error:
        return str(error)
    return None
