"""What is known of a network before it is built."""

from dataclasses import dataclass

from pydantic import BaseModel
from torch import nn


@dataclass(frozen=True)
class Known:
    """What the core asks of a network; an installed package offers one of these under `stillhouse.networks`."""

    module: type[nn.Module]
    takes: str = "image"
    """`image`: raw pixels (N, C, H, W); `text`: code points (N, L), int64; `speech`: samples (N, T).

    Any other word is a modality of a user's own: numbers (N, ...), float32.
    """
    gives: str = "logits"
    """`logits` (N, K), or `vectors`: unit vectors (N, D) of a space that it shares with others; or another word."""
    channels: int = 1
    """Of the images it is made for; grey ones are repeated."""
    spells: bool = False
    """It has `letters`."""
    arguments: type[BaseModel] | None = None
    """Checks the arguments of a network that a package offers, in the first stage of a run."""
