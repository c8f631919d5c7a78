"""List the experiments of an MLflow: one for each recipe, the audit, and the looks at held-out splits."""

from mlflow.entities import Experiment, ViewType
from mlflow.tracking import MlflowClient

PAGE = 1000


def list_experiments(client: MlflowClient, kind: int = ViewType.ACTIVE_ONLY) -> list[Experiment]:
    """Return all experiments. MLflow answers with a page, and a deployment may have more recipes than one page."""
    found: list[Experiment] = []
    token: str | None = None
    while True:
        page = client.search_experiments(view_type=kind, max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
