"""What a model is like in a target: how often it answers as in ONNX Runtime does, how big and how fast it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stillhouse.tasks.reporting.quantities import milliseconds, percent, size, times


@dataclass(frozen=True)
class Judged:
    """One component in a target."""

    agreement: float
    """Share of inputs with the same class as in ONNX Runtime, or the mean cosine of the vectors."""
    measure: str
    """`class` or `vector`."""
    inputs: int
    """Number of inputs that were asked."""
    target_ms: float
    """10th percentile of one call, one input, one thread."""
    reference_ms: float
    """The same in ONNX Runtime, in turns with the target in one process."""
    ratio: float
    """ONNX Runtime's time / the target's time. Above 1, the target is faster."""
    interval: tuple[float, float]
    machine: Mapping[str, Any]

    @property
    def words(self) -> str:
        """Agreement and time in words."""
        low, high = map(times, self.interval)
        return (
            f"{self.agreed} of {self.inputs} inputs, {milliseconds(self.target_ms)} against "
            f"{milliseconds(self.reference_ms)} ({times(self.ratio)} as fast, {low} to {high})"
        )

    @property
    def agreed(self) -> str:
        """How far the answers are the same, in words."""
        if self.measure == "class":
            return f"the same class for {percent(self.agreement)}"
        return f"a mean cosine of {self.agreement:.4f} for the vectors"


@dataclass(frozen=True)
class Converted:
    """A model in a target."""

    target: str
    words: str
    """The runtime's name, for people."""
    bytes: int
    """All files that a deployment needs there."""
    reference_bytes: int
    """All files of the same components for ONNX Runtime."""
    components: Mapping[str, Judged]
    refused: Mapping[str, str]
    """Component that the target does not take -> the reason."""

    @property
    def sentence(self) -> str:
        """Bytes, agreement and time in one sentence."""
        one = len(self.components) + len(self.refused) == 1
        parts = [judged.words if one else f"{name}: {judged.words}" for name, judged in self.components.items()]
        parts += [f"{name}: not there, because {reason}" for name, reason in self.refused.items()]
        sizes = f"{size(self.bytes)} against {size(self.reference_bytes)} in ONNX Runtime"
        return f"in {self.words}: {sizes}; {'; '.join(parts)}"


def judged_of(
    answer: Literal["class", "vector"],
    reference_NK: NDArray[np.float32],
    target_NK: NDArray[np.float32],
    found: Mapping[str, Any],
) -> Judged:
    """Compare the answers of both runtimes.

    Args:
        answer: what the numbers are.
        reference_NK: logits or vectors in ONNX Runtime.
        target_NK: the same in the target.
        found: the answer of `models.targets.judge`.
    """
    agree = share_of_same_class if answer == "class" else mean_cosine
    compared = found["comparison"]
    return Judged(
        agree(reference_NK, target_NK),
        answer,
        len(target_NK),
        compared["candidate"]["p10"],
        compared["baseline"]["p10"],
        compared["ratio"],
        tuple(compared["interval"]),
        found["machine"],
    )


def share_of_same_class(one_NK: NDArray[np.float32], other_NK: NDArray[np.float32]) -> float:
    """Return the share of rows whose largest number is in the same place."""
    return float((one_NK.argmax(1) == other_NK.argmax(1)).mean())


def mean_cosine(one_ND: NDArray[np.float32], other_ND: NDArray[np.float32]) -> float:
    """Return the mean cosine of pairs of rows. A row of zeros has the cosine 0."""
    lengths_N = np.linalg.norm(one_ND, axis=1) * np.linalg.norm(other_ND, axis=1)
    products_N = (one_ND * other_ND).sum(1, dtype=np.float64)
    return float(np.divide(products_N, lengths_N, out=np.zeros(len(one_ND)), where=lengths_N > 0).mean())
