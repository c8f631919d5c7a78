"""Plain networks, one family a file, and the one dict that names them."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from models.errors import ModelError
from models.networks.attention import AttentionNetwork
from models.networks.pixels import Pixels
from models.networks.plain import PlainNetwork
from models.networks.residual import ResidualNetwork
from models.networks.seed import MultimodalBigModel, MultimodalSmallModel

NETWORKS: dict[str, type[nn.Module]] = {
    "attention": AttentionNetwork,
    "multimodal_big_model": MultimodalBigModel,
    "multimodal_small_model": MultimodalSmallModel,
    "plain": PlainNetwork,
    "residual": ResidualNetwork,
}
INPUT_CHANNELS = {"multimodal_big_model": 3, "multimodal_small_model": 3}


def build_network(name: str, arguments: Mapping[str, Any], scale: float) -> nn.Module:
    """Build a network that takes raw pixels (N, 1, H, W) and returns logits (N, K).

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
    return nn.Sequential(Pixels(scale, INPUT_CHANNELS.get(name, 1)), network)
