"""Runtime of text recognition: pictures of lines in, text out. Quality is 1 minus the character error rate."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.written.lines import Lines, line_of, load_lines
from stillhouse.models.evaluation.outcomes import Outcomes, Scores
from stillhouse.models.measurement.transcription import count_errors
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.base import Answerer, Request, Runtime, run_model
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_recognition.details import describe_lines, png_of
from stillhouse.models.workloads.text_recognition.reading import read_lines
from stillhouse.models.workloads.transcripts.comparisons import compare_errors
from stillhouse.models.workloads.transcripts.rates import rates, share_changed
from stillhouse.models.workloads.transcripts.spelling import LETTERS, read_greedily

LENGTHS = ("short", "medium", "long")
BODIES = 64
"""Number of different requests for a load test."""
SEED = 3


class Reader:
    """A bundle's network with its vocabulary."""

    def __init__(self, bundle: Bundle) -> None:
        """Open the file."""
        self.session = open_session(bundle.file(ALONE))
        self.letters: Sequence[str] = bundle.about[LETTERS]
        channels, height, width = self.session.get_inputs()[0].shape[1:]
        self.shape: tuple[int, int, int] = (channels, height, width)

    def read(self, images_NCHW: NDArray[np.uint8]) -> list[str]:
        """Return the text of each line.

        Raises:
            ModelError: a logit is not finite.
        """
        return read_lines(partial(predict, self.session), images_NCHW, self.letters)


class TextRecognition:
    """Runtime of text recognition. A split is its lines. The answers are the texts that the model reads."""

    packages: Sequence[str] = ("jiwer", "pyarrow")

    def load_split(self, data: Path, split: str) -> Lines:
        """Read the lines of a split."""
        return load_lines(data, split)

    def ask(self, bundle: Bundle, split: Lines) -> list[str]:
        """Read every line."""
        return Reader(bundle).read(split.images_NCHW)

    def outcomes(self, split: Lines, answers: list[str], _reference: list[str]) -> Outcomes:
        """Return 1 minus the character error rate of each line, weighted by the length of its text.

        The short, the medium and the long lines are slices.
        """
        errors = count_errors(split.texts, answers, "characters")
        lengths_N = errors.lengths_N.astype(np.float64)
        quality_N = 1 - errors.each / lengths_N
        parts = np.array_split(np.argsort(lengths_N, kind="stable"), len(LENGTHS))
        slices = {
            name: Scores(quality_N[places], None, lengths_N[places])
            for name, places in zip(LENGTHS, parts, strict=True)
            if len(places)
        }
        return Outcomes(Scores(quality_N, None, lengths_N), np.array(answers), slices)

    def parity(self, references: Path, _split: Lines, answers: list[str]) -> float:
        """Return the share of letters that differ from what the training-time model reads."""
        expected = [str(text) for text in np.load(references / f"{ALONE}.npy", allow_pickle=False)]
        return share_changed(expected, answers)

    def one_request(self, _data: Path, split: Lines) -> Request:
        """Return one line. All lines have one size."""
        return Request({ALONE: split.images_NCHW[:1]})

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open the file again. The call reads the line."""
        reader, image_1CHW = Reader(bundle), request.raw[ALONE]
        name = reader.session.get_inputs()[0].name
        return lambda: read_greedily(reader.session.run(None, {name: image_1CHW})[0][0], reader.letters)

    def comparisons(
        self, split: Lines, answers: Mapping[str, list[str]], confidence: float
    ) -> dict[str, dict[str, Any]]:
        """Compare the error rates of teacher and student, by characters and by words."""
        return compare_errors(split.texts, answers, confidence)

    def details(
        self, _data: Path, _bundles: Mapping[str, Bundle], split: Lines, answers: Mapping[str, list[str]]
    ) -> dict[str, Any]:
        """Return kinds of errors, and lines with what was read."""
        return describe_lines(split, answers)

    def test_details(self, split: Lines, answers: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return the error rates on the test split."""
        return {"rates": [rates("the split test", split.texts, answers)]}

    def serve(self, bundle: Bundle, _labels: Sequence[str]) -> dict[str, Answerer]:
        """Answer pictures of lines with text."""
        reader = Reader(bundle)

        def answer(files: Sequence[bytes]) -> list[dict[str, Any]]:
            images_NCHW = np.stack([line_of(file, reader.shape) for file in files])
            texts = read_lines(
                lambda batch: run_model(partial(predict, reader.session, batch)), images_NCHW, reader.letters
            )
            return [{"text": text} for text in texts]

        return {"image": answer}

    def probe(self, bundle: Bundle) -> None:
        """Read noise."""
        reader = Reader(bundle)
        reader.read(np.random.default_rng(SEED).integers(0, 256, (1, *reader.shape), dtype=np.uint8))

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return lines of the gate split, as PNG files."""
        return "image/png", [png_of(image_CHW) for image_CHW in load_lines(data, "gate").images_NCHW[:BODIES]]


RUNTIME: Runtime = TextRecognition()
