"""What classifiers share at run time, whatever they classify: the answers, their quality and the most likely class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stillhouse.models.evaluation.outcomes import Outcomes, Scores
from stillhouse.models.measurement.metrics import right
from stillhouse.models.runtime.session import predict
from stillhouse.models.workloads.base import run_model
from stillhouse.models.workloads.registry import ALONE

Classes = NDArray[np.int64]


def score_classes(answers_N: Classes, labels_N: Classes, names: Sequence[str]) -> Outcomes:
    """Return the quality of each example: 1 if its class is right, otherwise 0. Each class is a slice."""
    right_N = right(answers_N, labels_N).astype(np.float64)
    slices = {str(name): Scores(right_N[labels_N == label], None) for label, name in enumerate(names)}
    return Outcomes(Scores(right_N, None), answers_N, slices)


def compare_with_reference(references: Path, answers_N: Classes) -> float:
    """Return the share of examples for which the training-time model predicts another class."""
    expected_N = np.load(references / f"{ALONE}.npy", allow_pickle=False)
    return float((answers_N != expected_N).mean())


def most_likely(
    session: onnxruntime.InferenceSession, raw: NDArray[Any], labels: Sequence[str], at_once: int = 500
) -> list[dict[str, Any]]:
    """Return number, label and probability of the most likely class of each raw input (N, ...).

    Raises:
        ModelFault: the model fails.
    """
    logits_NK = run_model(lambda: predict(session, raw, at_once)).astype(np.float64)
    powers_NK = np.exp(logits_NK - logits_NK.max(1, keepdims=True))
    chances_NK = powers_NK / powers_NK.sum(1, keepdims=True)
    return [
        {"class": int(best), "label": labels[best] if labels else None, "probability": round(float(chances[best]), 6)}
        for best, chances in zip(chances_NK.argmax(1), chances_NK, strict=True)
    ]
