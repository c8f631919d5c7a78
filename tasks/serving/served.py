"""A version of a model that answers requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from stillhouse.models.errors import ModelError
from stillhouse.models.workloads.base import Answerer

MOST_AT_ONCE = 256
"""Maximum number of inputs in one request."""
Answer = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """An opened version that answers requests."""

    model: str
    version: str
    digest: str
    opset: int
    answers: Mapping[str, Answerer]
    """Kind of input (`image`, `text`, `speech`, `pixels`) -> function that answers a batch of such inputs."""
    ports: Mapping[str, Sequence[Answer]] = field(default_factory=lambda: {"inputs": (), "outputs": ()})
    """`inputs` and `outputs` of the model, as tensors without data."""

    @property
    def who(self) -> dict[str, str]:
        """Model, version and digest, for an answer."""
        return {"model": self.model, "version": self.version, "digest": self.digest}

    def answer(self, kind: str, inputs: Sequence[Any]) -> list[Answer]:
        """Answer a batch.

        Raises:
            ModelError: the batch is empty or too large, the model does not take this kind, or an input cannot be read.
            ModelFault: the inputs were read, but the model does not answer.
        """
        if kind not in self.answers:
            msg = f"{self.model} takes {', '.join(self.answers)}, not {kind}; send one of these"
            raise ModelError(msg)
        if not 0 < len(inputs) <= MOST_AT_ONCE:
            msg = f"a request of {len(inputs)} inputs is none or too many; send 1 to {MOST_AT_ONCE}"
            raise ModelError(msg)
        return self.answers[kind](inputs)


class Answering(Protocol):
    """The served version, and the reason if it is not the champion."""

    @property
    def current(self) -> Served: ...  # noqa: D102 - see above
    @property
    def problem(self) -> str | None: ...  # noqa: D102 - see above
