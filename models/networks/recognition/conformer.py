"""A Conformer with a CTC head (Gulati 2020, arXiv:2005.08100), used as teacher.

Two things differ from the paper. Attention has no positions: the convolutions before it give them. There is no mask:
silence after the end of a recording is part of the recording, and says nothing.
"""

from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.errors import ModelError
from stillhouse.models.networks.recognition.bank import DropChannels, LogBank, over_frames

STEM_KERNEL = 5
TAPS = 400
"""Length of a filter in samples: 25 ms."""
HALF = 0.5
"""Share with which each of the two feed-forward parts of a block counts."""


class FeedForward(nn.Module):
    """Two linear layers with SiLU between them, after a norm."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        """Build."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.drop = DropChannels(dropout)

    def forward(self, features_NFC: Tensor) -> Tensor:
        """Map (N, frames, C) to the same shape."""
        return self.drop(self.down(self.drop(functional.silu(self.up(self.norm(features_NFC))))))


class FrameAttention(nn.Module):
    """Attention of every frame to all frames, after a norm."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        """Build. All heads together are as wide as a frame."""
        super().__init__()
        self.norm, self.head_width = nn.LayerNorm(width), width // heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))
        self.drop = DropChannels(dropout)

    def forward(self, features_NFC: Tensor) -> Tensor:
        """Map (N, frames, C) to the same shape."""
        normed_NFC = self.norm(features_NFC)
        query_NHFD, key_NHFD, value_NHFD = (
            self._heads(layer(normed_NFC)) for layer in (self.query, self.key, self.value)
        )
        seen_NHFD = functional.scaled_dot_product_attention(query_NHFD, key_NHFD, value_NHFD)
        return self.drop(self.output(seen_NHFD.transpose(1, 2).flatten(2)))

    def _heads(self, features_NFC: Tensor) -> Tensor:
        return features_NFC.unflatten(2, (-1, self.head_width)).transpose(1, 2)


class FrameConvolution(nn.Module):
    """A gated linear unit and a depthwise convolution over frames, after a norm."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        """Build."""
        super().__init__()
        self.norm, self.gate = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.over_frames = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.batch_norm, self.mix = nn.BatchNorm1d(width), nn.Linear(width, width)
        self.drop = DropChannels(dropout)

    def forward(self, features_NFC: Tensor) -> Tensor:
        """Map (N, frames, C) to the same shape."""
        gated_NCF = functional.glu(self.gate(self.norm(features_NFC)), dim=2).transpose(1, 2)
        near_NCF = functional.silu(self.batch_norm(self.over_frames(gated_NCF)))
        return self.drop(self.mix(near_NCF.transpose(1, 2)))


class ConformerBlock(nn.Module):
    """Half a feed-forward part, attention, convolution, half a feed-forward part, a norm."""

    def __init__(self, width: int, heads: int, hidden: int, kernel: int, dropout: float) -> None:
        """Build."""
        super().__init__()
        self.before, self.after = (FeedForward(width, hidden, dropout) for _ in range(2))
        self.attention = FrameAttention(width, heads, dropout)
        self.convolution = FrameConvolution(width, kernel, dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, features_NFC: Tensor) -> Tensor:
        """Map (N, frames, C) to the same shape."""
        features_NFC = features_NFC + HALF * self.before(features_NFC)
        features_NFC = features_NFC + self.attention(features_NFC)
        features_NFC = features_NFC + self.convolution(features_NFC)
        return self.norm(features_NFC + HALF * self.after(features_NFC))


class Conformer(nn.Module):
    """A filter bank, two convolutions that leave 25 frames a second, Conformer blocks, letters."""

    def __init__(  # noqa: PLR0913 - the arguments a recipe gives by name
        self,
        *,
        letters: int,
        width: int,
        heads: int,
        hidden: int,
        kernel: int,
        depth: int,
        bands: int = 80,
        hop: int = 160,
        dropout: float = 0.1,
    ) -> None:
        """Build.

        Args:
            letters: number of letters, including 0 for "no letter". The training data gives it.
            width: channels of a frame.
            heads: heads of each attention. They must divide the width.
            hidden: width between the two linear layers of a feed-forward part.
            kernel: frames that each depthwise convolution sees.
            depth: number of blocks.
            bands: bands of the filter bank.
            hop: samples from one frame of the filter bank to the next. Two convolutions leave a quarter of the frames.
            dropout: share of the channels that training drops.

        Raises:
            ModelError: the heads do not divide the width.
        """
        super().__init__()
        if width % heads:
            msg = f"heads {heads} must divide width {width}; change one of them"
            raise ModelError(msg)
        self.bank = LogBank(bands, hop, TAPS)
        self.stem = nn.Sequential(over_frames(bands, width, STEM_KERNEL, 2), over_frames(width, width, STEM_KERNEL, 2))
        blocks = (ConformerBlock(width, heads, hidden, kernel, dropout) for _ in range(depth))
        self.blocks = nn.Sequential(*blocks)
        self.speller = nn.Linear(width, letters)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to logits of letters (N, frames, letters)."""
        stem_NCF = self.stem(self.bank(samples_NT)).squeeze(2)
        return self.speller(self.blocks(stem_NCF.transpose(1, 2)))
