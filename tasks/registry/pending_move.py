"""What is about to happen to a production model, noted in MLflow before it does: whoever is killed, the next goes on.

An alias moves in several calls and MLflow has no transactions. The note says all that the calls need, so that doing
them again, from wherever they were left, comes to the same end.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from mlflow.tracking import MlflowClient

from stillhouse.tasks.tracking.answers import AbsentError, answering
from stillhouse.tasks.tracking.runs import PREFIX

TAG = f"{PREFIX}intent"


@dataclass(frozen=True)
class Intent:
    """A move of the champion that was decided on."""

    id: str
    model: str
    """The production model."""
    action: str
    source: str
    """`MODEL/VERSION` that becomes the champion: a candidate, or a version of the production model itself."""
    digest: str
    """Of the judged file."""
    before: str | None
    who: str
    why: str
    at: str
    evidence: Mapping[str, str]


def note(client: MlflowClient, intent: Intent) -> None:
    """Write down what is about to be done; from here on it will be."""
    client.set_registered_model_tag(intent.model, TAG, json.dumps(asdict(intent)))


def noted(client: MlflowClient, model: str) -> Intent | None:
    """Read what was about to be done, if it was not finished."""
    try:
        with answering():
            tags = client.get_registered_model(model).tags
    except AbsentError:
        return None
    return Intent(**json.loads(tags[TAG])) if TAG in tags else None


def done(client: MlflowClient, intent: Intent) -> None:
    """Take the note away, last of all."""
    client.delete_registered_model_tag(intent.model, TAG)
