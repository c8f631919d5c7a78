"""Runtime of text embedding: texts in, unit vectors out.

No labels are needed. The quality of a text is the share of its five nearest neighbours, among the texts of the split,
that it keeps: those that the teacher finds are compared with those that the model finds.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.texts import load_texts
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.outcomes import Outcomes, Scores
from stillhouse.models.measurement.neighbours import Vectors, nearest, share_kept
from stillhouse.models.measurement.statistics import mean_interval
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import Answerer, Request, Runtime, run_model
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_model import (
    PACKAGES,
    TextModel,
    one_request,
    open_call,
    raw_inputs,
    sample_requests,
)

NEIGHBOURS = 5
"""Nearest neighbours that count."""
SAME = 0.98
"""Least cosine at which the vectors of the exported and of the trained encoder count as the same."""
UNIT = 1e-3
"""Tolerance for the length of a unit vector."""
SLICES = 3
"""Slices by length: short, medium and long texts."""


class TextEmbedding:
    """Runtime of text embedding. A split is its texts. The answers are the model's vectors (N, D)."""

    packages: Sequence[str] = PACKAGES
    answer: Literal["class", "vector"] = "vector"

    def load_split(self, data: Path, split: str) -> list[str]:
        """Read the texts of a split."""
        return load_texts(data, split)

    def ask(self, bundle: Bundle, split: list[str]) -> Vectors:
        """Embed all texts of the split."""
        return TextModel(bundle).answer(split)

    def outcomes(self, split: list[str], answers: Vectors, reference: Vectors) -> Outcomes:
        """Return the share of the reference's neighbours that each text keeps. Slices are by length."""
        found_NK = nearest(answers, NEIGHBOURS)
        kept_N = share_kept(found_NK, nearest(reference, NEIGHBOURS))
        return Outcomes(Scores(kept_N, None), found_NK[:, 0], _by_length(split, kept_N))

    def parity(self, references: Path, _split: list[str], answers: Vectors) -> float:
        """Return the share of texts whose vectors of trained and exported encoder differ."""
        expected_ND = np.load(references / f"{ALONE}.npy", allow_pickle=False)
        return float(((answers * expected_ND).sum(1) < SAME).mean())

    def one_request(self, _data: Path, split: list[str]) -> Request:
        """Return a text of middle length."""
        return one_request(split)

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open the encoder again. The call makes tokens of the text and embeds them."""
        return open_call(bundle, request)

    def raw_inputs(self, bundle: Bundle, split: list[str], most: int) -> dict[str, list[NDArray[Any]]]:
        """Return the tokens (1, T) of texts."""
        return raw_inputs(bundle, split, most)

    def comparisons(self, _split: list[str], answers: Mapping[str, Vectors], confidence: float) -> dict[str, Any]:
        """Compare the vectors themselves: the mean cosine between those of teacher and student."""
        cosines_N = (answers["teacher"] * answers["student"]).sum(1).astype(np.float64)
        return {"cosine": {"value": float(cosines_N.mean()), "interval": mean_interval(cosines_N, confidence)}}

    def details(
        self, _data: Path, _bundles: object, split: list[str], answers: Mapping[str, Vectors]
    ) -> dict[str, Any]:
        """Return examples: a text, and the nearest text to it by each model."""
        places = np.linspace(0, len(split) - 1, 8).round().astype(int)
        found = {model: nearest(vectors, 1)[places, 0] for model, vectors in answers.items()}
        return {
            "examples": [
                {"text": split[place]} | {model: split[of[row]] for model, of in found.items()}
                for row, place in enumerate(places)
            ]
        }

    def test_details(self, *_: object) -> dict[str, Any]:
        """Return no additional details."""
        return {}

    def serve(self, bundle: Bundle, _labels: Sequence[str]) -> dict[str, Answerer]:
        """Answer texts with vectors."""
        encoder = TextModel(bundle)

        def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
            ids_NT = encoder.ids_of(texts)
            vectors_ND = run_model(lambda: encoder.of(ids_NT))
            return [{"vector": [round(float(number), 6) for number in vector]} for vector in vectors_ND]

        return {"text": answer}

    def probe(self, bundle: Bundle) -> None:
        """Embed one text. The vector must be a unit."""
        length = float(np.linalg.norm(TextModel(bundle).answer(["a probe"])))
        if abs(length - 1) > UNIT:
            msg = "the model answers with a vector that is no unit"
            raise ModelError(msg)

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return texts of the gate split."""
        return sample_requests(data)


def _by_length(split: list[str], kept_N: NDArray[np.float64]) -> dict[str, Scores]:
    """Divide the texts into slices of about the same size by their number of characters."""
    order = np.argsort([len(text) for text in split], kind="stable")
    parts = np.array_split(order, SLICES)
    return {_words(split, part): Scores(kept_N[part], None) for part in parts if len(part)}


def _words(split: list[str], part: NDArray[np.int64]) -> str:
    return f"{len(split[part[0]])} to {len(split[part[-1]])} characters"


RUNTIME: Runtime = TextEmbedding()
