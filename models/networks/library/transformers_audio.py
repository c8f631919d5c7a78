"""An audio classifier that the transformers library builds from a plain configuration, with its preparation of samples.

The library is asked for classes of its own only: no code, no file and no name of a hub is looked up.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.models.networks.library.flat_convolutions import flatten_convolutions
from stillhouse.models.networks.library.sound import KaldiFilterBank, Waveform
from stillhouse.models.networks.library.transformers_classifier import build_model

AUTO = "AutoModelForAudioClassification"
STILL = {"apply_spec_augment": False, "layerdrop": 0.0}
"""Settings that would hide parts of a recording, or leave out whole layers, at random during training."""
PREPARATIONS: dict[str, type[nn.Module]] = {"waveform": Waveform, "filter_bank": KaldiFilterBank}


class TransformersAudioClassifier(nn.Module):
    """Preparation of the samples, the library's model, and its logits in the order of the data's labels."""

    order_K: Tensor

    def __init__(
        self,
        *,
        config: Mapping[str, Any],
        preparation: Mapping[str, Any],
        order: Sequence[int] | None = None,
    ) -> None:
        """Build with fresh weights.

        Args:
            config: content of the model's config.json, with `model_type` and `num_labels`.
            preparation: `kind`, a key of PREPARATIONS, and the arguments of that class.
            order: for each label of the data, the number of the model's logit. None: they agree.

        Raises:
            ModelError: the library has no such model, or it does not accept the configuration.
        """
        super().__init__()
        arguments = {name: value for name, value in preparation.items() if name != "kind"}
        self.preparation = PREPARATIONS[preparation["kind"]](**arguments)
        self.model = flatten_convolutions(build_model({**config, **STILL}, AUTO))
        self.reorders = order is not None
        self.register_buffer("order_K", torch.tensor(order or ()), persistent=False)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to logits (N, K)."""
        logits_NK: Tensor = self.model(self.preparation(samples_NT)).logits
        return logits_NK.index_select(1, self.order_K) if self.reorders else logits_NK
