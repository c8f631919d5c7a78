"""A BERT-like text encoder: token numbers to one unit vector per text (Devlin et al. 2019, arXiv:1810.04805).

BERT, RoBERTa, XLM-R, DistilBERT and the sentence encoders made of them are this network with other sizes. Their folders
are read by `models.families.bert`. `bert_classifier` puts a head on the same body. The token type is always the first
one, so its vector is a part of the positions.
"""

from typing import Literal

from torch import Tensor, nn

from stillhouse.models.errors import ModelError
from stillhouse.models.networks.attention import SelfAttention
from stillhouse.models.networks.unit import unit

PADDING = 0
"""Token number that fills up the shorter texts of a batch."""
FAR = -1e4
"""Added to the attention to a padding token. Softmax makes it 0."""


class TokenTable(nn.Embedding):
    """A table with one row for each token or place. Quantization treats it as a layer of its own."""


class BertBlock(nn.Module):
    """Attention, then two linear layers. Each part has a shortcut, and its sum is normalised."""

    def __init__(self, width: int, heads: int, hidden: int, epsilon: float) -> None:
        """Build."""
        super().__init__()
        self.attention = SelfAttention(width, heads)
        self.norm1, self.norm2 = nn.LayerNorm(width, epsilon), nn.LayerNorm(width, epsilon)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens_NTC: Tensor, bias_N11T: Tensor) -> Tensor:
        """Map tokens (N, T, C) to the same shape. The bias is added to the attention to each token."""
        tokens_NTC = self.norm1(tokens_NTC + self.attention(tokens_NTC, bias_N11T))
        return self.norm2(tokens_NTC + self.mlp(tokens_NTC))


class BertBody(nn.Module):
    """Token numbers to the tokens after all blocks. What becomes of them is said by the networks made of it."""

    def __init__(  # noqa: PLR0913 - the sizes
        self, *, vocabulary: int, positions: int, width: int, heads: int, hidden: int, depth: int, epsilon: float
    ) -> None:
        """Build.

        Args:
            vocabulary: number of tokens.
            positions: tokens of the longest text.
            width: width of a token.
            heads: heads of each attention. They must divide the width.
            hidden: width between the two linear layers of a block.
            depth: number of blocks.
            epsilon: of the layer norms.

        Raises:
            ModelError: the heads do not divide the width.
        """
        super().__init__()
        if width % heads:
            msg = f"heads {heads} must divide width {width}; change one of them"
            raise ModelError(msg)
        self.tokens, self.places = TokenTable(vocabulary, width), TokenTable(positions, width)
        self.norm = nn.LayerNorm(width, epsilon)
        self.blocks = nn.Sequential(*(BertBlock(width, heads, hidden, epsilon) for _ in range(depth)))

    def read(self, ids_NT: Tensor) -> tuple[Tensor, Tensor]:
        """Map token numbers (N, T), int64, padded with 0, to tokens (N, T, C).

        Returns:
            The tokens, and 1.0 for each token inside its text (N, T).
        """
        inside_NT = (ids_NT != PADDING).float()
        bias_N11T = ((1 - inside_NT) * FAR)[:, None, None]
        tokens_NTC = self.norm(self.tokens(ids_NT) + self.places.weight[: ids_NT.shape[1]])
        for block in self.blocks:
            tokens_NTC = block(tokens_NTC, bias_N11T)
        return tokens_NTC, inside_NT


class BertEncoder(BertBody):
    """Token numbers to one unit vector per text."""

    def __init__(  # noqa: PLR0913 - the arguments a recipe gives by name
        self,
        *,
        vocabulary: int,
        positions: int,
        width: int,
        heads: int,
        hidden: int,
        depth: int,
        pooling: Literal["mean", "first"] = "mean",
        epsilon: float = 1e-12,
    ) -> None:
        """Build. The sizes are those of `BertBody`. The vector is the mean of the tokens, or the first token.

        Raises:
            ModelError: the heads do not divide the width.
        """
        super().__init__(
            vocabulary=vocabulary,
            positions=positions,
            width=width,
            heads=heads,
            hidden=hidden,
            depth=depth,
            epsilon=epsilon,
        )
        self.mean = pooling == "mean"

    def forward(self, ids_NT: Tensor) -> Tensor:
        """Map token numbers (N, T), int64, padded with 0, to unit vectors (N, width)."""
        tokens_NTC, inside_NT = self.read(ids_NT)
        return unit(_mean(tokens_NTC, inside_NT) if self.mean else tokens_NTC[:, 0])


def _mean(tokens_NTC: Tensor, inside_NT: Tensor) -> Tensor:
    """Average the tokens inside the text. The length does not matter, because the vector becomes a unit."""
    return (inside_NT[:, None] @ tokens_NTC)[:, 0]
