"""Report of text classification: texts on which teacher and student differ."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.report_base import Report, Section


class TextClassification:
    """Report with example texts and their classes."""

    slices = "classes"

    def section(self, details: Mapping[str, Any], _comparisons: object, _tested: object, _data: object) -> Section:
        """Return the section."""
        return Section("Texts", Path(__file__).with_name("section.html"), {"examples": details["examples"]})

    def answer_queries(self, bundle: Bundle, _data: Path, queries: Sequence[str], _cache: Path) -> str:
        """Show the class of each text, with the model's probability.

        Raises:
            ModelError: a text is empty.
        """
        answers = runtime_of(bundle.workload).serve(bundle, ())["text"](queries)
        return "".join(
            f"<h2>{html.escape(query)}</h2><p>{html.escape(str(answer['label'] or answer['class']))}"
            f" ({100 * answer['probability']:.1f} %)</p>"
            for query, answer in zip(queries, answers, strict=True)
        )


REPORT: Report = TextClassification()
