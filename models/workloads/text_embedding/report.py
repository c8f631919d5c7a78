"""Report of text embedding: how near the vectors are, and which texts each model finds nearest."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.report_base import Report, Section

SHOWN = 8
"""Numbers of a vector that an answer shows."""


class TextEmbedding:
    """Report with the cosine between both models, and example texts with their nearest texts."""

    slices = "lengths"

    def section(
        self, details: Mapping[str, Any], comparisons: Mapping[str, Any], _tested: object, _data: object
    ) -> Section:
        """Return the section."""
        values = {"examples": details["examples"], "cosine": comparisons["cosine"]}
        return Section("What is near", Path(__file__).with_name("section.html"), values)

    def answer_queries(self, bundle: Bundle, _data: Path, queries: Sequence[str], _cache: Path) -> str:
        """Show the beginning of each text's vector.

        Raises:
            ModelError: a text is empty.
        """
        answers = runtime_of(bundle.workload).serve(bundle, ())["text"](queries)
        return "".join(
            f"<h2>{html.escape(query)}</h2><p>{', '.join(map(str, answer['vector'][:SHOWN]))}, ...</p>"
            for query, answer in zip(queries, answers, strict=True)
        )


REPORT: Report = TextEmbedding()
