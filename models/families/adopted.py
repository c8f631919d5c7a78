"""A user's model, read from its folder."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from stillhouse.models.training.checkpoint import Architecture


@dataclass(frozen=True)
class Adopted:
    """A user's model as one of our networks."""

    module: nn.Module
    """In evaluation mode."""
    architecture: Architecture
    files: Mapping[str, bytes]
    """Name -> content of the files that ship beside the exported model, such as its tokenizer."""
    notes: tuple[str, ...] = ()
    """What was assumed, one sentence each."""
