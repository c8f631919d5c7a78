"""A network of linear layers for measurements."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from stillhouse.models.networks.known import Known


class Perceptron(nn.Module):
    """Measurements (N, M) -> one number each (N, 1)."""

    def __init__(self, measurements: int, widths: Sequence[int]) -> None:
        """Build a layer for each width."""
        super().__init__()
        sizes = [measurements, *widths]
        layers = [layer for size in pairwise(sizes) for layer in (nn.Linear(*size), nn.ReLU())]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], 1)

    def forward(self, measurements_NM: Tensor) -> Tensor:
        """Find the number."""
        return self.head(self.body(measurements_NM))


class Arguments(BaseModel):
    """What a recipe gives the network."""

    model_config = ConfigDict(extra="forbid")
    measurements: Annotated[int, Field(ge=1, le=1000)]
    widths: Annotated[list[int], Field(min_length=1)]


PERCEPTRON = Known(Perceptron, takes="measurements", gives="progression", arguments=Arguments)
