"""A small residual network (He et al. 2015, arXiv:1512.03385), from 5 K to 5 M parameters."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn

from stillhouse.models.errors import ModelError


def basic(width_in: int, width: int, stride: int) -> nn.Module:
    """Build a 3x3 convolution."""
    return nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)


class Separable(nn.Sequential):
    """A 3x3 convolution per channel, then a 1x1 over channels (MobileNet, Howard et al. 2017, arXiv:1704.04861)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        """Build a replacement of one 3x3 convolution, with about an eighth of its multiply-accumulates."""
        super().__init__(
            nn.Conv2d(width_in, width_in, 3, stride, padding=1, groups=width_in, bias=False),
            nn.BatchNorm2d(width_in),
            nn.ReLU(),
            nn.Conv2d(width_in, width, 1, bias=False),
        )


CONVOLUTIONS: dict[str, Callable[[int, int, int], nn.Module]] = {"basic": basic, "separable": Separable}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut around them."""

    def __init__(self, width_in: int, width: int, stride: int, block: str = "basic") -> None:
        """Build one block. If the shape changes, the shortcut is a 1x1 convolution."""
        super().__init__()
        convolution = CONVOLUTIONS[block]
        self.conv1 = convolution(width_in, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        same = stride == 1 and width_in == width
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, features_NCHW: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H / stride, W / stride)."""
        hidden_NCHW = self.relu(self.bn1(self.conv1(features_NCHW)))
        return self.relu(self.bn2(self.conv2(hidden_NCHW)) + self.shortcut(features_NCHW))


class ResidualNetwork(nn.Module):
    """A stem that makes the image smaller, residual blocks, an average, one linear layer."""

    def __init__(  # noqa: PLR0913, PLR0917 - the arguments a recipe gives by name
        self,
        stem: int,
        widths: Sequence[int],
        strides: Sequence[int],
        stem_kernel: int = 3,
        pool: int | None = None,
        classes: int = 10,
        block: str = "basic",
        channels: int = 1,
        stem_stride: int = 2,
    ) -> None:
        """Build.

        Args:
            stem: channels of the first convolution.
            widths: channels of each block.
            strides: stride of each block; 2 halves the image.
            stem_kernel: size of the first convolution.
            pool: side of the last feature map, if it is known. A pooling of fixed size stays an integer operator in
                ONNX Runtime, a global mean does not. None averages a map of any size.
            classes: number of logits.
            block: `basic` for full convolutions, `separable` for cheaper ones.
            channels: channels of the images.
            stem_stride: stride of the first convolution.

        Raises:
            ModelError: there is no such block.
        """
        super().__init__()
        if block not in CONVOLUTIONS:
            msg = f"there is no block {block!r}; use one of {', '.join(CONVOLUTIONS)}"
            raise ModelError(msg)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, stem, stem_kernel, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(),
        )
        widths_in = (stem, *widths[:-1])
        self.blocks = nn.Sequential(*map(partial(ResidualBlock, block=block), widths_in, widths, strides))
        self.pool = nn.AdaptiveAvgPool2d(1) if pool is None else nn.AvgPool2d(pool)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to logits (N, classes)."""
        features_NCHW = self.blocks(self.stem(images_NCHW))
        return self.head(self.pool(features_NCHW).flatten(1))
