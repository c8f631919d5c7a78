"""A recogniser of plain convolutions over frames, used as student: every layer becomes an integer convolution."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from stillhouse.models.networks.recognition.bank import LogBank, halve
from stillhouse.models.networks.speech import over_time


class Skip(nn.Module):
    """A convolution over frames, and a shortcut around it."""

    def __init__(self, width: int, kernel: int) -> None:
        """Build."""
        super().__init__()
        self.conv = over_time(width, width, 1, kernel)

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
    ) -> None:
        """Build.

        Args:
            letters: number of letters, including 0 for "no letter". The training data gives it.
            bands: bands of the filter bank.
            hop: samples from one frame of the filter bank to the next, and length of its filters.
            stem: channels of the first convolutions. Each one halves the frames.
            widths: channels of each further convolution. Equal neighbours get a shortcut.
            kernel: frames that each of these convolutions sees.
        """
        super().__init__()
        self.bank = LogBank(bands, hop, 2 * hop)
        halvings = (halve(before, width) for before, width in pairwise((bands, *stem)))
        blocks = (_block(before, width, kernel) for before, width in pairwise((stem[-1], *widths)))
        self.body = nn.Sequential(*halvings, *blocks)
        self.speller = nn.Conv2d(widths[-1], letters, 1)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to logits of letters (N, frames, letters)."""
        return self.speller(self.body(self.bank(samples_NT))).squeeze(2).transpose(1, 2)


def _block(width_in: int, width: int, kernel: int) -> nn.Module:
    return Skip(width, kernel) if width_in == width else over_time(width_in, width, 1, kernel)
