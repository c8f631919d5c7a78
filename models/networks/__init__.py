"""Plain networks, one family a file, and the one dict that names them."""

from collections.abc import Mapping
from typing import Any

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

NETWORKS: dict[str, type[nn.Module]] = {
    "attention": AttentionNetwork,
    "multimodal_big_model": MultimodalBigModel,
    "multimodal_small_model": MultimodalSmallModel,
    "ngram_tower": NgramTower,
    "plain": PlainNetwork,
    "plain_tower": PlainTower,
    "residual": ResidualNetwork,
    "residual_tower": ResidualTower,
    "speech_plain_tower": PlainSpeechTower,
    "speech_residual_tower": ResidualSpeechTower,
}
GREY_TO_RGB = ("multimodal_big_model", "multimodal_small_model")
"""Networks for colours that are given grey images."""
TOWER = "_tower"
"""What a network is called that gives unit vectors of a space it shares with others, in place of logits."""
OF_TEXT = ("ngram_tower",)
"""Networks that take code points (N, L), int64, where the others take raw pixels."""
OF_SPEECH = ("speech_residual_tower", "speech_plain_tower")
"""Networks that take samples (N, T) where the others take raw pixels; they spell, so they have `letters`."""


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
        network = NETWORKS[name](**arguments)
    except TypeError as error:
        msg = f"network {name!r} cannot be built from {dict(arguments)} ({error}); mend its arguments"
        raise ModelError(msg) from error
    if name in {*OF_TEXT, *OF_SPEECH}:
        return network
    return nn.Sequential(Pixels(scale, RGB if name in GREY_TO_RGB else 1, background), network)


def taken_by(name: str) -> str:
    """Say what a network takes: `image`, `text` or `speech`."""
    return "text" if name in OF_TEXT else "speech" if name in OF_SPEECH else "image"
