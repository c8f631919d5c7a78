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


def class_outcomes(answers_N: Classes, labels_N: Classes, names: Sequence[str]) -> Outcomes:
    """Return the quality of each example: 1 if its class is right, otherwise 0. Each class is a slice."""
    right_N = right(answers_N, labels_N).astype(np.float64)
    slices = {str(name): Scores(right_N[labels_N == label], None) for label, name in enumerate(names)}
    return Outcomes(Scores(right_N, None), answers_N, slices)


def chances_of(logits_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the probability of each class (N, K)."""
    wide_NK = logits_NK.astype(np.float64)
    powers_NK = np.exp(wide_NK - wide_NK.max(1, keepdims=True))
    chances_NK: NDArray[np.float64] = powers_NK / powers_NK.sum(1, keepdims=True)
    return chances_NK


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
    return name_classes(run_model(lambda: predict(session, raw, at_once)), labels)


def name_classes(logits_NK: NDArray[np.float32], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the most likely class of each example with its name, or None without names, and its probability."""
    wide_NK = logits_NK.astype(np.float64)
    chances_N = 1 / np.exp(wide_NK - wide_NK.max(1, keepdims=True)).sum(1)
    return [
        {"class": best, "label": names[best] if names else None, "probability": round(chance, 6)}
        for best, chance in zip(wide_NK.argmax(1).tolist(), chances_N.tolist(), strict=True)
    ]
