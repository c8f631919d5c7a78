"""Runtime of text classification: texts in, classes out. Quality is accuracy."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.description import describe
from stillhouse.models.data.texts import load_text_labels, load_texts
from stillhouse.models.evaluation.outcomes import Outcomes
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import Answerer, Request, Runtime, run_model
from stillhouse.models.workloads.classes import Classes, chances_of, class_outcomes, name_classes
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_model import (
    PACKAGES,
    TextModel,
    one_request,
    open_call,
    sample_requests,
)

Logits = NDArray[np.float32]
Split = tuple[list[str], Classes, list[str]]
"""Texts with their classes, and the names of all classes."""
SAME = 0.2
"""Largest distance at which the probabilities of the exported and of the trained classifier count as the same.

It is the share of the probability that moves to other classes (the total variation). The file rounds the inputs of its
products, and the trained classifier does not. The class alone would say nothing: two nearly equal ones change places.
Of 164 definitions, MiniLM in int8 moved 0.004 in the middle, 0.09 at the 99th percentile and 0.17 at most.
"""
EXAMPLES, SHOWN = 8, 300
"""Texts in the report, and the characters of each."""


class TextClassification:
    """Runtime of text classification. The answers to a split are the model's logits (N, K)."""

    packages: Sequence[str] = PACKAGES

    def load_split(self, data: Path, split: str) -> Split:
        """Read the texts of a split with their classes, and the names of all classes."""
        return load_texts(data, split), load_text_labels(data, split), describe(data)["labels"]

    def ask(self, bundle: Bundle, split: Split) -> Logits:
        """Classify all texts of the split."""
        return TextModel(bundle).answer(split[0])

    def outcomes(self, split: Split, answers: Logits, _reference: Logits) -> Outcomes:
        """Return the quality of each text: 1 if its class is right, otherwise 0. Each class is a slice."""
        _, labels_N, names = split
        return class_outcomes(answers.argmax(1), labels_N, names)

    def parity(self, references: Path, _split: Split, answers: Logits) -> float:
        """Return the share of texts whose probabilities by the trained and the exported classifier differ."""
        expected_NK = np.load(references / f"{ALONE}.npy", allow_pickle=False)
        moved_N = np.abs(chances_of(answers) - chances_of(expected_NK)).sum(1) / 2
        return float((moved_N > SAME).mean())

    def one_request(self, _data: Path, split: Split) -> Request:
        """Return a text of middle length."""
        return one_request(split[0])

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open the classifier again. The call makes tokens of the text and classifies them."""
        return open_call(bundle, request)

    def comparisons(self, *_: object) -> dict[str, Any]:
        """Return no additional comparisons."""
        return {}

    def details(self, _data: Path, _bundles: object, split: Split, answers: Mapping[str, Logits]) -> dict[str, Any]:
        """Return examples: texts with their class, and the class by each model. Those that differ come first."""
        texts, labels_N, names = split
        found = {model: logits_NK.argmax(1) for model, logits_NK in answers.items()}
        order = np.argsort(found["teacher"] == found["student"], kind="stable")[:EXAMPLES]
        return {
            "examples": [
                {"text": texts[row][:SHOWN], "label": names[labels_N[row]]}
                | {model: names[classes[row]] for model, classes in found.items()}
                for row in order
            ]
        }

    def test_details(self, *_: object) -> dict[str, Any]:
        """Return no additional details."""
        return {}

    def serve(self, bundle: Bundle, labels: Sequence[str]) -> dict[str, Answerer]:
        """Answer texts with the most likely class and its probability."""
        model, names = TextModel(bundle), bundle.about.get("labels") or labels

        def answer(texts: Sequence[str]) -> list[dict[str, Any]]:
            ids_NT = model.ids_of(texts)
            return name_classes(run_model(lambda: model.of(ids_NT)), names)

        return {"text": answer}

    def probe(self, bundle: Bundle) -> None:
        """Classify one text."""
        TextModel(bundle).answer(["a probe"])

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return texts of the gate split."""
        return sample_requests(data)


RUNTIME: Runtime = TextClassification()
