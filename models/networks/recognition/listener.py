"""A recogniser of plain convolutions over frames, used as student: every layer becomes an integer convolution."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from stillhouse.models.errors import ModelError
from stillhouse.models.networks.recognition.bank import LogBank, over_frames

STEM_KERNEL = 5


class Skip(nn.Module):
    """A convolution over frames, and a shortcut around it."""

    def __init__(self, width: int, kernel: int, *, causal: bool = False) -> None:
        """Build."""
        super().__init__()
        self.conv = over_frames(width, width, kernel, causal=causal)

    def forward(self, features_NC1F: Tensor) -> Tensor:
        """Map (N, width, 1, frames) to the same shape."""
        return features_NC1F + self.conv(features_NC1F)


class Listener(nn.Module):
    """A filter bank, convolutions that leave 25 frames a second, convolutions with shortcuts, letters."""

    def __init__(  # noqa: PLR0913 - the arguments a recipe gives by name
        self,
        *,
        letters: int,
        bands: int,
        hop: int,
        stem: Sequence[int],
        widths: Sequence[int],
        kernel: int,
        causal: bool = False,
        ahead: int = 0,
    ) -> None:
        """Build.

        Args:
            letters: number of letters, including 0 for "no letter". The training data gives it.
            bands: bands of the filter bank.
            hop: samples from one frame of the filter bank to the next. Its filters are twice as long.
            stem: channels of the first convolutions. Each one halves the frames.
            widths: channels of each further convolution. Equal neighbours get a shortcut.
            kernel: frames that each of these convolutions sees.
            causal: a frame depends on no later sound, so that a recording can be read while it is spoken.
            ahead: frames of later sound on which a frame of a causal network depends after all.

        Raises:
            ModelError: `ahead` is given, and the network is not causal.
        """
        super().__init__()
        if ahead and not causal:
            msg = f"ahead {ahead} needs causal: true, because any other network hears all that follows"
            raise ModelError(msg)
        self.ahead = ahead
        self.bank = LogBank(bands, hop, 2 * hop, causal=causal, ahead=ahead * hop * 2 ** len(stem))
        halvings = (
            over_frames(before, width, STEM_KERNEL, 2, causal=causal) for before, width in pairwise((bands, *stem))
        )
        blocks = (_block(before, width, kernel, causal=causal) for before, width in pairwise((stem[-1], *widths)))
        self.body = nn.Sequential(*halvings, *blocks)
        self.speller = nn.Conv2d(widths[-1], letters, 1)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to logits of letters (N, frames, letters)."""
        return self.speller(self.body(self.bank(samples_NT))).squeeze(2).transpose(1, 2)[:, self.ahead :]


def _block(width_in: int, width: int, kernel: int, *, causal: bool) -> nn.Module:
    same = width_in == width
    return Skip(width, kernel, causal=causal) if same else over_frames(width_in, width, kernel, causal=causal)
