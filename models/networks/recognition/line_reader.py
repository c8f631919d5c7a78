"""A recogniser of text lines of plain convolutions, used as student: every layer becomes an integer convolution."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from stillhouse.models.networks.recognition.listener import Skip
from stillhouse.models.networks.speech import over_time


class LineReader(nn.Module):
    """Convolutions over the picture, one over what is left of its height, convolutions over frames, letters."""

    def __init__(  # noqa: PLR0913 - the arguments a recipe gives by name
        self,
        *,
        letters: int,
        widths: Sequence[int],
        down: Sequence[int],
        across: Sequence[int],
        rows: int,
        context: Sequence[int],
        kernel: int,
        channels: int = 3,
    ) -> None:
        """Build.

        Args:
            letters: number of letters, including 0 for "no letter". The training data gives it.
            widths: channels of each 3x3 convolution.
            down: stride of each convolution over the height.
            across: stride of each convolution over the width. Their product is the pixels of a frame.
            rows: height of the last feature map.
            context: channels of each convolution over frames. Equal neighbours get a shortcut.
            kernel: frames that each of these convolutions sees.
            channels: channels of the pictures.
        """
        super().__init__()
        sizes = zip(pairwise((channels, *widths)), down, across, strict=True)
        picture = (_convolution(before, width, (high, wide)) for (before, width), high, wide in sizes)
        column = nn.Conv2d(widths[-1], context[0], (rows, 1), bias=False)
        self.picture = nn.Sequential(*picture, nn.Sequential(column, nn.BatchNorm2d(context[0]), nn.ReLU()))
        self.frames = nn.Sequential(*(_block(before, width, kernel) for before, width in pairwise(context)))
        self.speller = nn.Conv2d(context[-1], letters, 1)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map pictures (N, channels, H, W) to logits of letters (N, frames, letters)."""
        return self.speller(self.frames(self.picture(images_NCHW))).squeeze(2).transpose(1, 2)


def _convolution(width_in: int, width: int, stride: tuple[int, int]) -> nn.Sequential:
    conv = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def _block(width_in: int, width: int, kernel: int) -> nn.Module:
    return Skip(width, kernel) if width_in == width else over_time(width_in, width, 1, kernel)
