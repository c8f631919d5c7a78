"""What people read: the mean error of both models."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
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

    def answer_queries(self, bundle: Bundle, _data: Path, queries: Sequence[str], _cache: Path) -> str:
        serve = runtime_of(bundle.workload).serve(bundle, ())["measurements"]
        found = serve([[float(number) for number in query.split(",")] for query in queries])
        return "".join(
            f"<h2>{html.escape(query)}</h2><p>{of['progression']}</p>" for query, of in zip(queries, found, strict=True)
        )


REPORT: Report = Progression()
