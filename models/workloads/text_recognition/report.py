"""Report of text recognition: error rates by length, and lines with both transcripts, errors marked."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.report_base import Report, Section
from stillhouse.models.workloads.transcripts.marked import mark_errors

MODELS = ("teacher", "student")


class TextRecognition:
    """Report with error rates and lines."""

    slices = "lengths"

    def section(
        self, details: Mapping[str, Any], _comparisons: object, tested: Mapping[str, Any] | None, _data: object
    ) -> Section:
        """Return the section."""
        rates = details["rates"] + (tested["rates"] if tested else [])
        values = {"rates": rates, "examples": [_shown(example) for example in details["examples"]]}
        return Section("Lines", Path(__file__).with_name("section.html"), values)

    def answer_queries(self, bundle: Bundle, _data: Path, queries: Sequence[str], _cache: Path) -> str:
        """Show the text of each line.

        Raises:
            ModelError: a query is not the path of a readable picture.
        """
        files = [_read(query) for query in queries]
        answers = runtime_of(bundle.workload).serve(bundle, ())["image"](files)
        return "".join(
            f'<h2><img class="asked" src="data:image;base64,{base64.b64encode(file).decode()}" alt="">'
            f"{html.escape(Path(query).name)}</h2><p>{html.escape(answer['text']) or '(no text)'}</p>"
            for query, file, answer in zip(queries, files, answers, strict=True)
        )


REPORT: Report = TextRecognition()


def _read(query: str) -> bytes:
    try:
        return Path(query).read_bytes()
    except OSError as error:
        msg = f"the picture {query[:200]} cannot be opened ({error.strerror}); name a file that is there"
        raise ModelError(msg) from error


def _shown(example: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "text": example["text"],
        "picture": example["picture"],
        "read": {model: Markup(mark_errors(example["text"], example[model])) for model in MODELS},  # noqa: S704 - escaped
    }
