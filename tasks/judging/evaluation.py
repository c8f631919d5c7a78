"""Read evaluation.json and check it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from stillhouse.models.evaluation.schema import Evaluation
from stillhouse.tasks.errors import ArtifactError

LONGEST_FOUND = 40


def parse_evaluation(raw: Mapping[str, Any]) -> Evaluation:
    """Check the result of the stage `evaluate`.

    Raises:
        ArtifactError: a metric is missing, not finite or out of range. The message names the first such metric.
    """
    try:
        return Evaluation.model_validate(raw)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        found = "nothing" if fault["type"] == "missing" else repr(fault["input"])[:LONGEST_FOUND]
        msg = (
            f"evaluation.json has {found} at {place} ({fault['msg'].lower()}), so the gate cannot judge "
            "and nothing is registered; run evaluate again with force"
        )
        raise ArtifactError(msg) from error
