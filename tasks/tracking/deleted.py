"""Find runs and experiments that a person deleted in MLflow, and the command that restores them.

This module restores nothing, because the deletion may be intended. The callers also start nothing new beside a deleted
run.
"""

from urllib.parse import urlsplit

from mlflow.entities import LifecycleStage, Run, ViewType
from mlflow.tracking import MlflowClient

from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.tracking.answers import AbsentError, answering
from stillhouse.tasks.tracking.experiments import list_experiments


def find_experiment(client: MlflowClient, name: str) -> str | None:
    """Find an experiment by its name. Returns None if there is none.

    Raises:
        StillhouseError: the experiment was deleted. The message has the command that restores it.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return None
    if found.lifecycle_stage == LifecycleStage.DELETED:
        msg = f"the experiment {name} was deleted in MLflow; {restore_experiment(client, found.experiment_id)}"
        raise StillhouseError(msg)
    return str(found.experiment_id)


def refuse_deleted(client: MlflowClient, experiment_id: str, query: str, what: str) -> None:
    """Refuse to start a run again if that run was deleted.

    Args:
        client: MLflow client.
        experiment_id: experiment of the run.
        query: MLflow search query that finds the run.
        what: name of the run in the error message.

    Raises:
        StillhouseError: there is such a deleted run. The message has the command that restores it.
    """
    found = client.search_runs([experiment_id], query, ViewType.DELETED_ONLY, max_results=1)
    if found:
        msg = f"{what} was deleted in MLflow; {restore_run(client, found[0])}, or start a new one"
        raise StillhouseError(msg)


def is_active(client: MlflowClient, run_id: str) -> bool:
    """Tell whether MLflow has a run, and nobody deleted it.

    Raises:
        ServiceError: MLflow does not answer.
    """
    try:
        with answering():
            return not _is_deleted(client.get_run(run_id))
    except AbsentError:
        return False


def search_everywhere(client: MlflowClient, query: str) -> list[Run]:
    """Find runs in all experiments, including deleted runs and deleted experiments."""
    everywhere = [each.experiment_id for each in list_experiments(client, ViewType.ALL)]
    return list(client.search_runs(everywhere, query, ViewType.ALL))


def way_back(client: MlflowClient, run: Run, home: str) -> str | None:
    """Say how a run can return to its experiment named `home`. Returns None if the run is there."""
    experiment = client.get_experiment(run.info.experiment_id)
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        return f"its experiment was deleted in MLflow; {restore_experiment(client, experiment.experiment_id)}"
    if experiment.name != home:
        return f"its experiment was renamed to {experiment.name} in MLflow; rename that one back to {home}"
    return f"it was deleted in MLflow; {restore_run(client, run)}" if _is_deleted(run) else None


def restore_experiment(client: MlflowClient, experiment_id: str) -> str:
    """Return the sentence with the command that restores an experiment."""
    return f"bring it back with `{_command(client)} experiments restore --experiment-id {experiment_id}`"


def restore_run(client: MlflowClient, run: Run) -> str:
    """Return the sentence with the command that restores a run."""
    return f"bring it back with `{_command(client)} runs restore --run-id {run.info.run_id}`"


def _is_deleted(run: Run) -> bool:
    return bool(run.info.lifecycle_stage == LifecycleStage.DELETED)


def _command(client: MlflowClient) -> str:
    """Return the start of a command for this MLflow server, without the password that its address may contain."""
    parts = urlsplit(client.tracking_uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else client.tracking_uri
    return f"MLFLOW_TRACKING_URI={address} mlflow"
