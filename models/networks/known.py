"""Properties of a network that are known before it is built."""

from dataclasses import dataclass

from pydantic import BaseModel
from torch import nn


@dataclass(frozen=True)
class Known:
    """Properties of a network. An installed package offers one of these under `stillhouse.networks`."""

    module: type[nn.Module]
    takes: str = "image"
    """Input: `image` (raw pixels (N, C, H, W)), `text` (code points (N, L), int64), `tokens` (N, T) or
    `speech` (samples (N, T)).

    Any other word is a user-defined modality: numbers (N, ...), float32.
    """
    gives: str = "logits"
    """Output: `logits` (N, K), `vectors` (unit vectors (N, D) of a shared space), or another word."""
    channels: int = 1
    """Number of image channels that the network expects. Grey images are repeated."""
    shortest: int = 0
    """Fewest numbers of an input, if its second axis has any length. 0: all inputs have one length."""
    spells: bool = False
    """The network is a CTC encoder, with an argument `letters`."""
    arguments: type[BaseModel] | None = None
    """Model that checks the arguments of a package's network, in the first stage of a run."""
