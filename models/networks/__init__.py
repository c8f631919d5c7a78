"""Plain networks, one family a file, and the one dict that names them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from models.errors import ModelError
from models.networks.attention import AttentionNetwork
from models.networks.ngrams import NgramTower
from models.networks.pixels import Pixels
from models.networks.plain import PlainNetwork
from models.networks.residual import ResidualNetwork
from models.networks.seed import MultimodalBigModel, MultimodalSmallModel
from models.networks.speech import PlainSpeechTower, ResidualSpeechTower
from models.networks.towers import RGB, PlainTower, ResidualTower


@dataclass(frozen=True)
class Known:
    """What is known of a network before it is built."""

    module: type[nn.Module]
    takes: Literal["image", "text", "speech"] = "image"
    """Raw pixels (N, C, H, W), code points (N, L), int64, or samples (N, T)."""
    gives: Literal["logits", "vectors"] = "logits"
    """Logits (N, K), or unit vectors (N, D) of a space that it shares with others."""
    channels: int = 1
    """Of the images it is made for; grey ones are repeated."""
    spells: bool = False
    """It has `letters`."""


NETWORKS = {
    "attention": Known(AttentionNetwork),
    "multimodal_big_model": Known(MultimodalBigModel, channels=RGB),
    "multimodal_small_model": Known(MultimodalSmallModel, channels=RGB),
    "ngram_tower": Known(NgramTower, "text", "vectors"),
    "plain": Known(PlainNetwork),
    "plain_tower": Known(PlainTower, gives="vectors"),
    "residual": Known(ResidualNetwork),
    "residual_tower": Known(ResidualTower, gives="vectors"),
    "speech_plain_tower": Known(PlainSpeechTower, "speech", "vectors", spells=True),
    "speech_residual_tower": Known(ResidualSpeechTower, "speech", "vectors", spells=True),
}
SPELLERS = [name for name, known in NETWORKS.items() if known.spells]


def build_network(name: str, arguments: Mapping[str, Any], scale: float, background: int = 0) -> nn.Module:
    """Build a network: raw pixels (N, 1 or 3, H, W), code points (N, L) or samples (N, T) in.

    Logits or unit vectors (N, K) come out.

    Args:
        name: of NETWORKS.
        arguments: its own.
        scale: what pixels are divided by.
        background: value of an empty pixel.

    Raises:
        ModelError: no such network, or arguments it does not take.
    """
    if name not in NETWORKS:
        msg = f"there is no network {name!r}; use one of {', '.join(NETWORKS)}"
        raise ModelError(msg)
    try:
        network = NETWORKS[name].module(**arguments)
    except TypeError as error:
        msg = f"network {name!r} cannot be built from {dict(arguments)} ({error}); mend its arguments"
        raise ModelError(msg) from error
    if NETWORKS[name].takes != "image":
        return network
    return nn.Sequential(Pixels(scale, NETWORKS[name].channels, background), network)
