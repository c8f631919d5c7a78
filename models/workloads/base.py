"""What the core asks of a workload at run time, when nothing of the training code is loaded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelFault
from stillhouse.models.evaluation.outcomes import Outcomes
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.registry import resolve

Split = Any
"""A split as a workload reads it; the core hands it on and looks at nothing in it."""
Answers = Any
"""What a model answers to a split, likewise."""
Answerer = Callable[[Sequence[Any]], list[dict[str, Any]]]
"""Answers a batch of inputs of one kind, each with a JSON object.

Raises ModelError for an input that it cannot read, ModelFault where the model does not answer what was read.
"""


@dataclass(frozen=True)
class Request:
    """One request, as a client would send it."""

    raw: Mapping[str, NDArray[Any]]
    """Component of the model -> one raw input in a batch of its own, such as pixels (1, C, H, W)."""
    body: str = ""
    """What is sent in place of numbers, such as a sentence; empty where the raw input is sent."""


class Runtime(Protocol):
    """A workload at run time."""

    @property
    def packages(self) -> Sequence[str]:
        """Packages that answering needs beside ONNX Runtime and numpy."""

    def load_split(self, data: Path, split: str) -> Split:
        """Read a split of a materialised dataset."""

    def ask(self, bundle: Bundle, split: Split) -> Answers:
        """Open a bundle and answer all that the split asks.

        Raises:
            ModelError: a file is missing or damaged, or an answer is not finite.
        """

    def outcomes(self, split: Split, answers: Answers) -> Outcomes:
        """Say how good a model's answers are."""

    def parity(self, references: Path, split: Split, answers: Answers) -> float:
        """Share of answers that the training-time model gives otherwise.

        Args:
            references: folder with what `Component.reference` gave, as `<component>.npy`.
            split: what was asked.
            answers: what the bundle answered.
        """

    def one_request(self, data: Path, split: Split) -> Request:
        """Give one typical request."""

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open a bundle anew; the call answers the request once, with all that a server does for it."""

    def comparisons(
        self, split: Split, answers: Mapping[str, Answers], confidence: float
    ) -> Mapping[str, Mapping[str, Any]]:
        """Compare `teacher` and `student` by what only this workload has; name -> value and interval.

        Args:
            split: what was asked.
            answers: what each model answered.
            confidence: of each interval, two-sided.
        """

    def details(
        self, data: Path, bundles: Mapping[str, Bundle], split: Split, answers: Mapping[str, Answers]
    ) -> dict[str, Any]:
        """Tell of `teacher` and `student` what only this workload tells, for its report; as JSON."""

    def test_details(self, split: Split, answers: Mapping[str, Answers]) -> dict[str, Any]:
        """Tell of both on the split `sealed` what only this workload tells, for its report; as JSON."""

    def serve(self, bundle: Bundle, labels: Sequence[str]) -> Mapping[str, Answerer]:
        """Open a bundle for a server: kind of input (such as `image` or `pixels`) -> what answers a batch of it.

        Args:
            bundle: what is served.
            labels: names of classes, where a bundle from before has them beside it.
        """

    def probe(self, bundle: Bundle) -> None:
        """Answer one input of noise.

        Raises:
            ModelError: the answer is not finite, or not of its kind.
        """

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Give what people would ask: a media type, and bodies of it, from the gate split."""


def runtime_of(workload: str) -> Runtime:
    """Import a workload's face for what ships.

    Raises:
        ModelError: there is no such workload.
    """
    face: Runtime = resolve(workload, "runtime")
    return face


def asked(ask: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Ask a model about what was read without a fault: that it fails now is its own.

    Raises:
        ModelFault: it does not answer.
    """
    try:
        return ask()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"the model does not answer this input ({reason}); give it another, or roll the model back"
        raise ModelFault(msg) from error
