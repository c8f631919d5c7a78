"""A small vision transformer for grey images: patches, attention, an average (Dosovitskiy 2020, arXiv:2010.11929)."""

import torch
from torch import Tensor, nn

from stillhouse.models.errors import ModelError


class SelfAttention(nn.Module):
    """Attention with several heads (Vaswani et al. 2017, arXiv:1706.03762), each `head_width` wide.

    The number of heads follows from the sizes of the layers, so that heads can be removed from the layers.
    """

    def __init__(self, width: int, heads: int) -> None:
        """Build. All heads together are as wide as the tokens."""
        super().__init__()
        self.head_width = width // heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens_NTC: Tensor, bias_N11T: Tensor | None = None) -> Tensor:
        """Map tokens (N, T, C) to the same shape. The bias is added to the attention to each token."""
        query_NHTD, key_NHTD, value_NHTD = (
            self._heads(layer(tokens_NTC)) for layer in (self.query, self.key, self.value)
        )
        scores_NHTT = query_NHTD @ key_NHTD.transpose(2, 3) * self.head_width**-0.5
        weights_NHTT = (scores_NHTT if bias_N11T is None else scores_NHTT + bias_N11T).softmax(3)
        return self.output((weights_NHTT @ value_NHTD).transpose(1, 2).flatten(2))

    def _heads(self, tokens_NTC: Tensor) -> Tensor:
        return tokens_NTC.unflatten(2, (-1, self.head_width)).transpose(1, 2)


class AttentionBlock(nn.Module):
    """Attention, then two linear layers. Each part normalises its input tokens and has a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        """Build."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward(self, tokens_NTC: Tensor) -> Tensor:
        """Map tokens (N, T, C) to the same shape."""
        tokens_NTC = tokens_NTC + self.attention(self.norm1(tokens_NTC))
        return tokens_NTC + self.mlp(self.norm2(tokens_NTC))


class AttentionNetwork(nn.Module):
    """Image patches as tokens with learned positions, blocks, an average over the tokens, one linear layer."""

    places_T: Tensor

    def __init__(  # noqa: PLR0913, PLR0917 - the arguments a recipe gives by name
        self, side: int, patch: int, width: int, heads: int, hidden: int, depth: int, classes: int = 10
    ) -> None:
        """Build.

        Args:
            side: side of the images.
            patch: side of a patch. It must divide the side of the images.
            width: width of a token.
            heads: heads of each attention. They must divide the width.
            hidden: width between the two linear layers of a block.
            depth: number of blocks.
            classes: number of logits.

        Raises:
            ModelError: a number does not divide another as required.
        """
        super().__init__()
        if side % patch or width % heads:
            msg = f"patch {patch} must divide side {side}, and heads {heads} width {width}; change what does not"
            raise ModelError(msg)
        self.patches = nn.Conv2d(1, width, patch, stride=patch)
        self.positions = nn.Embedding((side // patch) ** 2, width)
        self.register_buffer("places_T", torch.arange((side // patch) ** 2), persistent=False)
        self.blocks = nn.Sequential(*(AttentionBlock(width, heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, 1, side, side) to logits (N, classes)."""
        tokens_NTC = self.patches(images_NCHW).flatten(2).transpose(1, 2) + self.positions(self.places_T)
        return self.head(self.norm(self.blocks(tokens_NTC)).mean(1))
