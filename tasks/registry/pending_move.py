"""The pending move of a production model's champion, noted in MLflow before it happens.

A move takes several calls, and MLflow has no transactions. If a process is killed, the next one continues from the
note. The note holds all data for the calls, so repeating them from any point gives the same result.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mlflow.tracking import MlflowClient

from stillhouse.tasks.tracking.answers import AbsentError, answering
from stillhouse.tasks.tracking.tags import PREFIX

TAG = f"{PREFIX}intent"


@dataclass(frozen=True)
class Intent:
    """A decided move of the champion."""

    id: str
    model: str
    """Name of the production model."""
    action: str
    source: str
    """`MODEL/VERSION` of the new champion: a candidate, or a version of the production model itself."""
    digest: str
    """Digest of the evaluated file."""
    before: str | None
    who: str
    why: str
    at: str
    evidence: Mapping[str, str]


def note(client: MlflowClient, intent: Intent) -> None:
    """Write the note. From now on the move will happen, even after a kill."""
    client.set_registered_model_tag(intent.model, TAG, json.dumps(asdict(intent)))


def read_pending(client: MlflowClient, model: str) -> Intent | None:
    """Read the pending move, or return `None` if there is none."""
    try:
        with answering():
            tags = client.get_registered_model(model).tags
    except AbsentError:
        return None
    return Intent(**json.loads(tags[TAG])) if TAG in tags else None


def clear_pending(client: MlflowClient, intent: Intent) -> None:
    """Delete the note, as the last step of the move."""
    client.delete_registered_model_tag(intent.model, TAG)
