"""Attention of the library's models in five plain operators, without a mask.

The library's own `eager` attention makes a mask of zeros at every call, and `sdpa` is exported as thirty operators for
each attention, with tests for infinite scores.
"""

from torch import Tensor, nn
from torch.nn import functional

NAME = "stillhouse_plain"


def register_attention() -> str:
    """Make the attention known to the library. Returns its name there."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME


def attend(  # noqa: PLR0913 - the library's signature
    module: nn.Module,
    query_NHTD: Tensor,
    key_NHTD: Tensor,
    value_NHTD: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_others: object,
) -> tuple[Tensor, None]:
    """Return the attended values (N, T, H, D). The mask is added to the scores if there is one."""
    factor = query_NHTD.shape[-1] ** -0.5 if scaling is None else scaling
    scores_NHTT = query_NHTD @ key_NHTD.transpose(2, 3) * factor
    if attention_mask is not None:
        scores_NHTT = scores_NHTT + attention_mask
    weights_NHTT = functional.dropout(scores_NHTT.softmax(3), dropout, module.training)
    return (weights_NHTT @ value_NHTD).transpose(1, 2), None
