"""Read the stages of a running nightly run from MLflow, with plain REST, because `import mlflow` takes a second."""

from dataclasses import dataclass
from typing import Any

import requests

ASK_SECONDS = 10


@dataclass(frozen=True)
class StageRun:
    """The newest child run of one stage."""

    progress: str
    reused_from: str
    error: str


def stage_runs(mlflow: str, recipe: str, run_key: str) -> dict[str, StageRun]:
    """Return stage -> its newest child run; empty if MLflow does not know the run or does not answer."""
    try:
        return _pick_newest(_tags_of_children(mlflow, recipe, run_key))
    except requests.RequestException:
        return {}  # only for display: if the server is down, the stages fail with the remedy


def _tags_of_children(mlflow: str, recipe: str, run_key: str) -> list[dict[str, str]]:
    with requests.Session() as session:
        session.trust_env = False
        api = f"{mlflow}/api/2.0/mlflow"
        reply = session.get(f"{api}/experiments/get-by-name", params={"experiment_name": recipe}, timeout=ASK_SECONDS)
        if not reply.ok:
            return []
        experiment = reply.json()["experiment"]["experiment_id"]
        parents = _search(session, api, experiment, f"tags.`stillhouse.run_key` = '{run_key}'")
        top = [run["info"]["run_id"] for run in parents if "mlflow.parentRunId" not in _tags(run)]
        if not top:
            return []
        children = _search(session, api, experiment, f"tags.`mlflow.parentRunId` = '{top[-1]}'")
    return sorted(map(_tags, children), key=lambda tags: tags.get("stillhouse.opened", ""))


def _search(session: requests.Session, api: str, experiment: str, condition: str) -> list[dict[str, Any]]:
    body = {"experiment_ids": [experiment], "filter": condition, "order_by": ["attributes.start_time ASC"]}
    reply = session.post(f"{api}/runs/search", json=body, timeout=ASK_SECONDS)
    reply.raise_for_status()
    runs: list[dict[str, Any]] = reply.json().get("runs", [])
    return runs


def _tags(run: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"].get("tags", [])}


def _pick_newest(children: list[dict[str, str]]) -> dict[str, StageRun]:
    return {
        tags["stillhouse.stage"]: StageRun(
            tags.get("stillhouse.progress", ""),
            tags.get("stillhouse.reused_from", ""),
            tags.get("stillhouse.error", ""),
        )
        for tags in children
        if "stillhouse.stage" in tags
    }
