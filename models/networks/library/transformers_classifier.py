"""An image classifier that the transformers library builds from a plain configuration.

The library is asked for classes of its own only: no code, no file and no name of a hub is looked up.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.models.errors import ModelError
from stillhouse.models.networks.library.plain_attention import register_attention
from stillhouse.models.networks.library.preparation import Preparation

SIDE = 64
"""Side of a picture for a model whose configuration names none."""
RGB = 3
AUTO = "AutoModelForImageClassification"


class TransformersClassifier(nn.Module):
    """Preparation of the pixels, the library's model, and its logits in the order of the data's labels."""

    order_K: Tensor

    def __init__(
        self,
        *,
        config: Mapping[str, Any],
        preparation: Mapping[str, Any] | None = None,
        order: Sequence[int] | None = None,
    ) -> None:
        """Build with fresh weights.

        Args:
            config: content of the model's config.json, with `model_type` and `num_labels`.
            preparation: arguments of `Preparation`. None: the model takes the pixels as they come.
            order: for each label of the data, the number of the model's logit. None: they agree.

        Raises:
            ModelError: the library has no such model, or it does not accept the configuration.
        """
        super().__init__()
        self.preparation = nn.Identity() if preparation is None else Preparation(**preparation)
        self.model = build_model(config)
        self.reorders = order is not None
        self.register_buffer("order_K", torch.tensor(order or ()), persistent=False)

    def example(self) -> Tensor:
        """Return one black raw picture of a size that the model takes."""
        size = getattr(self.model.config, "image_size", None) or SIDE
        side = self.preparation.side if isinstance(self.preparation, Preparation) else (size, size)
        return torch.zeros(1, getattr(self.model.config, "num_channels", RGB), *side)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map raw pixels (N, C, H, W) to logits (N, K)."""
        logits_NK: Tensor = self.model(pixel_values=self.preparation(images_NCHW)).logits
        return logits_NK.index_select(1, self.order_K) if self.reorders else logits_NK


def build_model(config: Mapping[str, Any], auto: str = AUTO) -> nn.Module:
    """Let the library build a model of its own classes, with attention spelled out in plain operators.

    Args:
        config: content of the model's config.json, with `model_type` and `num_labels`.
        auto: name of the library's class that finds the model's class.

    Raises:
        ModelError: the library has no such model, or it does not accept the configuration.
    """
    import transformers

    try:
        built = transformers.AutoConfig.for_model(**config)
        model: nn.Module = getattr(transformers, auto).from_config(
            built, attn_implementation=register_attention(), trust_remote_code=False
        )
    except Exception as error:  # the library raises nothing narrower
        reason = " ".join(str(error).split())[:200]
        msg = f"transformers cannot build {config.get('model_type')} from its configuration ({reason}); mend config"
        raise ModelError(msg) from error
    return model
