"""Report of text to image: how near the pictures are to real ones, and the pictures themselves."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.report_base import Report, Section

REAL = "real pictures"


class TextToImage:
    """Report with Frechet distances and pictures."""

    slices = "classes"

    def section(
        self,
        details: Mapping[str, Any],
        comparisons: Mapping[str, Any],
        tested: Mapping[str, Any] | None,
        _data: object,
    ) -> Section:
        """Return the section."""
        splits = {"gate": details, **({"test": tested} if tested else {})}
        distances = [_row(split, found) for split, found in splits.items()]
        values = {
            "distances": distances,
            "ratio": comparisons.get("frechet"),
            "nearest": details["nearest"],
            "shown": details["shown"],
            "grids": details["grids"],
        }
        return Section("Pictures", Path(__file__).with_name("section.html"), values)

    def answer_queries(self, bundle: Bundle, _data: Path, queries: Sequence[str], _cache: Path) -> str:
        """Show a picture of each prompt.

        Raises:
            ModelError: a prompt is empty.
        """
        answers = runtime_of(bundle.workload).serve(bundle, ())["text"](queries)
        return "".join(
            f'<h2>{html.escape(query)}</h2><img src="{answer["image"]}" width="112" alt="">'
            for query, answer in zip(queries, answers, strict=True)
        )

    def make_files(self, bundle: Bundle, queries: Sequence[str], seed: int) -> list[tuple[str, bytes]]:
        """Return a PNG file of each prompt.

        Raises:
            ModelError: a prompt is empty, or the seed is out of range.
        """
        prompts = [{"text": query, "seed": seed} for query in queries]
        answers = runtime_of(bundle.workload).serve(bundle, ())["text"](prompts)
        return [(".png", base64.b64decode(answer["image"].partition(",")[2])) for answer in answers]


REPORT: Report = TextToImage()


def _row(split: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the distances of one split, and as multiples of the distance between two real halves."""
    distances = found["frechet"]
    return {
        "split": split,
        "count": found["count"],
        "real": distances[REAL],
        **{
            model: {"value": distances[model], "times": distances[model] / distances[REAL]}
            for model in ("teacher", "student")
        },
    }
