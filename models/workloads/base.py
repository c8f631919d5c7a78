"""Runtime interface of a workload. No training code is loaded at run time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError, ModelFault
from stillhouse.models.evaluation.outcomes import Outcomes
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.registry import JUDGES, resolve

Split = Any
"""A split in the workload's own form. The core passes it on without looking inside."""
Answers = Any
"""A model's answers to a split, in the workload's own form."""
Answerer = Callable[[Sequence[Any]], list[dict[str, Any]]]
"""Answers a batch of inputs of one kind, with one JSON object per input.

Raises ModelError if an input cannot be read, and ModelFault if the model fails on a valid input.
"""


@dataclass(frozen=True)
class Request:
    """One request, as a client would send it."""

    raw: Mapping[str, NDArray[Any]]
    """Component of the model -> one raw input as a batch of one, such as pixels (1, C, H, W)."""
    body: str = ""
    """Text that is sent instead of numbers, such as a sentence. Empty if the raw input is sent."""


class Runtime(Protocol):
    """A workload at run time."""

    @property
    def packages(self) -> Sequence[str]:
        """Packages that the runtime needs besides ONNX Runtime and numpy."""

    def load_split(self, data: Path, split: str) -> Split:
        """Read a split of a materialised dataset."""

    def ask(self, bundle: Bundle, split: Split) -> Answers:
        """Open a bundle and answer the whole split.

        Raises:
            ModelError: a file is missing or damaged, or an answer is not finite.
        """

    def outcomes(self, split: Split, answers: Answers, reference: Answers) -> Outcomes:
        """Compute the quality of a model's answers.

        Args:
            split: the split.
            answers: the model's answers.
            reference: the teacher's answers. They count as right if the split has no labels.
        """

    def parity(self, references: Path, split: Split, answers: Answers) -> float:
        """Return the share of answers that differ from those of the training-time model.

        Args:
            references: folder with the outputs of `Component.reference`, as `<component>.npy`.
            split: the split.
            answers: the bundle's answers.
        """

    def one_request(self, data: Path, split: Split) -> Request:
        """Return one typical request."""

    def call(self, bundle: Bundle, request: Request) -> Callable[[], object]:
        """Open a bundle again. The call answers the request once and does all work that a server does for it."""

    def comparisons(
        self, split: Split, answers: Mapping[str, Answers], confidence: float
    ) -> Mapping[str, Mapping[str, Any]]:
        """Compare `teacher` and `student` in ways that only this workload has. Returns name -> value and interval.

        Args:
            split: the split.
            answers: the answers of each model.
            confidence: two-sided confidence of each interval.
        """

    def details(
        self, data: Path, bundles: Mapping[str, Bundle], split: Split, answers: Mapping[str, Answers]
    ) -> dict[str, Any]:
        """Return details of `teacher` and `student` that only this workload has, for its report, as JSON."""

    def test_details(self, split: Split, answers: Mapping[str, Answers]) -> dict[str, Any]:
        """Return details of both models on the split `test` that only this workload has, for its report, as JSON."""

    def serve(self, bundle: Bundle, labels: Sequence[str]) -> Mapping[str, Answerer]:
        """Open a bundle for a server. Returns kind of input (such as `image` or `pixels`) -> its answerer.

        Args:
            bundle: the bundle to serve.
            labels: names of the classes, for an old bundle that does not contain them.
        """

    def probe(self, bundle: Bundle) -> None:
        """Answer one input of noise.

        Raises:
            ModelError: the answer is not finite, or has the wrong form.
        """

    def sample_requests(self, data: Path) -> tuple[str, list[bytes]]:
        """Return realistic requests from the gate split: a media type, and request bodies of this type."""


@runtime_checkable
class Portable(Protocol):
    """The optional part of a runtime with which a model is judged in other targets than ONNX Runtime."""

    answer: Literal["class", "vector"]
    """What a component gives. Two runtimes agree if the class is the same, or as far as the vectors have one direction.
    """

    def raw_inputs(self, bundle: Bundle, split: Split, most: int) -> Mapping[str, Sequence[NDArray[Any]]]:
        """Return component -> real raw inputs from a split, each as a batch of one, at most `most` of them."""


@runtime_checkable
class Judged(Protocol):
    """The optional part of a runtime whose answers are judged by networks, not by labels."""

    def with_judges(self, split: Split, folder: Path) -> Split:
        """Return a split together with the networks that judge answers to it.

        Args:
            split: what `load_split` returned.
            folder: where `Judges.write_judges` wrote the networks.
        """


def open_split(workload: Runtime, data: Path, split: str, references: Path) -> Split:
    """Read a split that judges models, with the networks that judge if the workload has any.

    Args:
        workload: the runtime of the models' workload.
        data: the materialised dataset.
        split: name of the split.
        references: folder with what the stage `export` wrote to judge by.
    """
    read = workload.load_split(data, split)
    return workload.with_judges(read, references / JUDGES) if isinstance(workload, Judged) else read


def portable_of(workload: str) -> Portable:
    """Import the runtime module of a workload that other targets can judge.

    Raises:
        ModelError: there is no such workload, or it offers no raw inputs.
    """
    face = runtime_of(workload)
    if isinstance(face, Portable):
        return face
    msg = f"the workload {workload} has no raw_inputs in its runtime, so no other target can judge it; add the method"
    raise ModelError(msg)


def spread(count: int, most: int) -> Sequence[int]:
    """Choose at most `most` of `count` places, evenly."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, most))]


def runtime_of(workload: str) -> Runtime:
    """Import the runtime module of a workload.

    Raises:
        ModelError: there is no such workload.
    """
    face: Runtime = resolve(workload, "runtime")
    return face


def run_model(ask: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Run a model on inputs that were read without an error. An error is then the model's fault.

    Raises:
        ModelFault: the model fails.
    """
    try:
        return ask()
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"the model does not answer this input ({reason}); give it another, or roll the model back"
        raise ModelFault(msg) from error
