"""Report of image classification. It adds nothing to the common report."""

import base64
import html
from collections.abc import Sequence
from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.report_base import Report


class ImageClassification:
    """Report without a section of its own."""

    slices = "classes"

    def section(self, *_: object) -> None:
        """Return no section."""

    def answer_queries(self, bundle: Bundle, _data: Path, queries: Sequence[str], _cache: Path) -> str:
        """Show the class of each picture, with the model's probability.

        Raises:
            ModelError: a query is not the path of a readable picture.
        """
        classify = runtime_of(bundle.workload).serve(bundle, ())["image"]
        files = [_read(query) for query in queries]
        return "".join(
            f'<h2><img class="asked" src="data:image;base64,{base64.b64encode(file).decode()}" alt="">'
            f"{html.escape(Path(query).name)}</h2><p>{html.escape(str(answer['label'] or answer['class']))}"
            f" ({100 * answer['probability']:.1f} %)</p>"
            for query, file, answer in zip(queries, files, classify(files), strict=True)
        )


def _read(query: str) -> bytes:
    try:
        return Path(query).read_bytes()
    except OSError as error:
        msg = f"the picture {query[:200]} cannot be opened ({error.strerror}); name a file that is there"
        raise ModelError(msg) from error


REPORT: Report = ImageClassification()
