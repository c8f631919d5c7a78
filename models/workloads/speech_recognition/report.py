"""Report of speech recognition: error rates by slice, and recordings with both transcripts, errors marked."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.report_base import Report, Section
from stillhouse.models.workloads.speech_recognition.pictures import draw_hearing
from stillhouse.models.workloads.transcripts.marked import mark_errors

MODELS = ("teacher", "student")


class SpeechRecognition:
    """Report with error rates and recordings."""

    slices = "languages and lengths"

    def section(
        self, details: Mapping[str, Any], _comparisons: object, tested: Mapping[str, Any] | None, _data: object
    ) -> Section:
        """Return the section."""
        slices = dict(details["slices"])
        if tested:
            slices["the split test"] = tested["slices"]["all"]
        values = {"slices": slices, "examples": [_shown(example) for example in details["examples"]]}
        return Section("Transcripts", Path(__file__).with_name("section.html"), values)

    def answer_queries(self, bundle: Bundle, _data: Path, queries: Sequence[str], _cache: Path) -> str:
        """Show the text of each recording.

        Args:
            bundle: the model's bundle.
            queries: paths of audio files.

        Raises:
            ModelError: a file cannot be read.
        """
        answers = runtime_of(bundle.workload).serve(bundle, ())["speech"]([_read(query) for query in queries])
        return "".join(
            f"<h2>{html.escape(Path(query).name)}</h2><p>{html.escape(answer['text']) or '(silence)'}</p>"
            for query, answer in zip(queries, answers, strict=True)
        )


REPORT: Report = SpeechRecognition()


def _read(query: str) -> bytes:
    try:
        return Path(query).read_bytes()
    except OSError as error:
        msg = f"{query} cannot be read ({error.strerror}); give the path of an audio file"
        raise ModelError(msg) from error


def _shown(example: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "language": example["language"],
        "text": example["text"],
        "audio": example["audio"],
        "picture": Markup(draw_hearing(example)),  # noqa: S704 - numbers only
        "read": {model: Markup(mark_errors(example["text"], example[model])) for model in MODELS},  # noqa: S704 - escaped
    }
