"""Check whether a foreign file returns logits or probabilities, by its outputs on real examples."""

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.foreign_graph import LEAST_PROBABILITY, Answers

NEAR = 0.01
"""Tolerance for a sum of probabilities."""


def check_kind(logits_NK: NDArray[np.float32], answers: Answers, name: str) -> None:
    """Check that the outputs on real examples are of the kind that the recipe declares.

    Args:
        logits_NK: outputs of an adopted file: its own numbers, or the logarithms of its declared probabilities.
        answers: value of the recipe's key.
        name: name of the file.

    Raises:
        ModelError: the outputs are of another kind, or are the same for every example.
    """
    values_NK = np.exp(logits_NK) if answers == "probabilities" else logits_NK
    if len(values_NK) > 1 and not np.ptp(values_NK, axis=0).any():
        msg = f"{name} answers every image alike; mend scale and layout, or export the teacher again"
        raise ModelError(msg)
    if answers == "probabilities":
        _expect_probabilities(values_NK, name)
    else:
        _expect_logits(values_NK, name)


def _expect_probabilities(values_NK: NDArray[np.float32], name: str) -> None:
    if _shares(values_NK) != 1:
        sigmoid = _is_within_one(values_NK) and values_NK.min() > 10 * LEAST_PROBABILITY
        remedy = "export it without its sigmoid and set answers to logits" if sigmoid else "set answers to logits"
        msg = f"{name} does not answer with probabilities, which sum to 1; {remedy}"
        raise ModelError(msg)


def _expect_logits(values_NK: NDArray[np.float32], name: str) -> None:
    total = _shares(values_NK)
    if total == 1:
        msg = f"{name} answers with numbers that sum to 1, as probabilities do; set answers to probabilities"
        raise ModelError(msg)
    if _is_within_one(values_NK):
        msg = f"{name} answers with numbers from 0 to 1 only, as a sigmoid does; export it without its last layer"
        raise ModelError(msg)
    if total:
        msg = f"{name} answers with shares that sum to {total:g}; export it without its last layer, or with shares of 1"
        raise ModelError(msg)


def _is_within_one(values_NK: NDArray[np.float32]) -> bool:
    return bool((values_NK >= -LEAST_PROBABILITY).all() and (values_NK <= 1 + NEAR).all())


def _shares(values_NK: NDArray[np.float32]) -> float:
    """Return the sum of each example's outputs if no output is below 0 and all sums are equal; otherwise 0."""
    sums_N = values_NK.sum(1)
    total = float(np.median(sums_N))
    if (values_NK < -LEAST_PROBABILITY).any() or not np.allclose(sums_N, total, atol=NEAR * max(1.0, total)):
        return 0.0
    return 1.0 if abs(total - 1) <= NEAR else round(total, 3)
