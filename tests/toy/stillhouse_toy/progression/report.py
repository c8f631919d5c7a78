"""What people read: the mean error of both models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse.models.workloads.report_base import Report, Section


class Progression:
    """One table."""

    slices = "groups of patients"

    def section(
        self,
        details: Mapping[str, Any],
        comparisons: Mapping[str, Any],
        tested: Mapping[str, Any] | None,
        _data: Path | None,
    ) -> Section:
        errors = {"gate": details["mean_error"], **({"test": tested["mean_error"]} if tested else {})}
        values = {"errors": errors, "correlation": comparisons["correlation"]["value"]}
        return Section("How far off the progression is", Path(__file__).with_name("section.html"), values)


REPORT: Report = Progression()
