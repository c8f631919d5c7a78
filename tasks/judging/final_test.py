"""The typed content of final_test.json: both models on the split `test`, opened once per candidate."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stillhouse.models.evaluation.schema import Count, Part, Tested
from stillhouse.tasks.errors import ArtifactError

ANSWER = "final_test.json"


class Opened(Tested):
    """The measurements on the split `test`, and how often the split was opened. They decide nothing."""

    opening: Count
    """1 if this was the first time that the split was opened, 2 for the second, and so on."""
    split_digests: dict[str, str]
    """Split -> digest of its content."""


class FinalTest(Part):
    """The whole content of final_test.json."""

    opened: Opened | None = None
    skipped: str | None = None
    """The reason why the split stayed closed."""


def parse_final_test(raw: Mapping[str, Any]) -> FinalTest:
    """Check the result of the stage `final_test`.

    Raises:
        ArtifactError: a metric is missing or not finite. The message names it.
    """
    try:
        return FinalTest.model_validate(raw)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        msg = f"{ANSWER} is not whole at {place}; run the stage final_test again with force"
        raise ArtifactError(msg) from error


def read_final_test(output: Path) -> FinalTest:
    """Read final_test.json in the output of the stage.

    Raises:
        ArtifactError: a metric is missing or not finite. The message names it.
    """
    return parse_final_test(json.loads((output / ANSWER).read_text(encoding="utf-8")))


def parse_opened(raw: Mapping[str, Any] | None) -> Opened | None:
    """Return the measurements on the split `test`. None if the split stayed closed or the file is not valid."""
    try:
        return parse_final_test(raw).opened if raw else None
    except ArtifactError:
        return None


def describe_looks(looks: Mapping[str, int]) -> str:
    """Say how often the splits were looked at so far, over all nights and recipes. Empty if there are no counts."""
    if not looks:
        return ""
    opened, gate, validation = (_count(looks.get(split, 0)) for split in ("test", "gate", "validation"))
    return (
        f"Over all nights and recipes of this data, the test split was opened {opened}, the gate split was looked at "
        f"{gate} and the validation split {validation}."
    )


def _count(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
