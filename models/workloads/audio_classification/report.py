"""Report of audio classification. It adds nothing to the common report."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.report_base import Report


class AudioClassification:
    """Report without a section of its own."""

    slices = "classes"

    def section(self, *_: object) -> None:
        """Return no section."""

    def answer_queries(self, bundle: Bundle, _data: Path, queries: Sequence[str], _cache: Path) -> str:
        """Show the class of each recording, with the model's probability.

        Raises:
            ModelError: a query is not the path of a readable recording.
        """
        classify = runtime_of(bundle.workload).serve(bundle, ())["speech"]
        files = [_read(query) for query in queries]
        return "".join(
            _show(query, file, answer) for query, file, answer in zip(queries, files, classify(files), strict=True)
        )


def _show(query: str, file: bytes, answer: dict[str, Any]) -> str:
    sound = f"data:audio/{Path(query).suffix[1:]};base64,{base64.b64encode(file).decode()}"
    heading = f'<h2><audio controls src="{html.escape(sound)}"></audio>{html.escape(Path(query).name)}</h2>'
    label = html.escape(str(answer["label"] or answer["class"]))
    return f"{heading}<p>{label} ({100 * answer['probability']:.1f} %)</p>"


def _read(query: str) -> bytes:
    try:
        return Path(query).read_bytes()
    except OSError as error:
        msg = f"the recording {query[:200]} cannot be opened ({error.strerror}); name a file that is there"
        raise ModelError(msg) from error


REPORT: Report = AudioClassification()
