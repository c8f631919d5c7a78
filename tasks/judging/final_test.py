"""final_test.json, typed: both models on the sealed split, opened once for each candidate after its verdict."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stillhouse.models.evaluation.schema import Count, Part, Tested
from stillhouse.tasks.errors import ArtifactError

ANSWER = "final_test.json"


class Opened(Tested):
    """What was measured on the sealed split, and how often that was opened. It decides nothing."""

    opening: Count
    """1 if this was the first time that the split was opened, 2 for the second, and so on."""
    split_digests: dict[str, str]
    """Split -> digest of its content."""


class FinalTest(Part):
    """All of final_test.json."""

    opened: Opened | None = None
    skipped: str | None = None
    """Why the split stayed closed."""


def parse_final_test(raw: Mapping[str, Any]) -> FinalTest:
    """Check what the stage wrote.

    Raises:
        ArtifactError: a metric is missing or not finite; names it.
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
        ArtifactError: a metric is missing or not finite; names it.
    """
    return parse_final_test(json.loads((output / ANSWER).read_text(encoding="utf-8")))


def opened_in(raw: Mapping[str, Any] | None) -> Opened | None:
    """Give what was measured on the sealed split, or None where it stayed closed or nothing can be trusted."""
    try:
        return parse_final_test(raw).opened if raw else None
    except ArtifactError:
        return None


def looked(looks: Mapping[str, int]) -> str:
    """Say how often the splits were looked at so far, over all nights and recipes; nothing where nobody counted."""
    if not looks:
        return ""
    opened, gate, search = (_count(looks.get(split, 0)) for split in ("sealed", "gate", "search"))
    return (
        f"Over all nights and recipes of this data, the sealed split was opened {opened}, the gate role was looked at "
        f"{gate} and the search role {search}."
    )


def _count(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number:,} times")
