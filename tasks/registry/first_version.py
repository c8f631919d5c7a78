"""Keep one version of a file, although two hosts register it at the same moment.

MLflow numbers the versions of a model one by one. So each host sees the first version after it has made its own.
"""

from contextlib import suppress

from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from stillhouse.tasks.registry.versions import DIGEST
from stillhouse.tasks.tracking.answers import AbsentError, answering
from stillhouse.tasks.tracking.tags import PREFIX

RUN_KEY = f"{PREFIX}run_key"


def keep_first(client: MlflowClient, model: str, digest: str, run_key: str) -> str | None:
    """Return the first version of a file, whoever made it, and delete the later ones that a nightly run made.

    Args:
        client: MLflow client.
        model: name of the model.
        digest: digest of the file.
        run_key: the nightly run.

    Returns:
        The number of the first version. `None` if the file has no version.
    """
    found = _versions_of(client, model, digest)
    for version in found[1:]:
        if version.tags.get(RUN_KEY) == run_key:
            with suppress(AbsentError), answering():  # the other host may have deleted it
                client.delete_model_version(model, version.version)
    return str(found[0].version) if found else None


def _versions_of(client: MlflowClient, model: str, digest: str) -> list[ModelVersion]:
    found = [each for each in client.search_model_versions(f"name = '{model}'") if each.tags.get(DIGEST) == digest]
    return sorted(found, key=lambda version: int(version.version))
