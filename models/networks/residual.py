"""A small residual network for grey images (He et al. 2015, arXiv:1512.03385), from 5 K to 5 M parameters."""

from collections.abc import Sequence

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut around them."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        """Build one block; a 1x1 convolution carries the shortcut where the shape changes."""
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
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
    """A stem that halves the image, one stage of blocks per width, an average, one linear layer."""

    def __init__(
        self,
        widths: Sequence[int],
        blocks: Sequence[int],
        stem_kernel: int = 3,
        pool: int | None = None,
        classes: int = 10,
    ) -> None:
        """Build; every stage after the first halves the image.

        Args:
            widths: channels of each stage.
            blocks: blocks of each stage.
            stem_kernel: size of the first convolution.
            pool: side of the last feature map, where it is known: a pooling of fixed size stays an integer
                operator in ONNX Runtime, a global mean does not. None averages a map of any size.
            classes: how many logits.
        """
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], stem_kernel, stride=2, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        layers: list[nn.Module] = []
        width_in = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(depth):
                layers.append(ResidualBlock(width_in, width, stride=2 if block == 0 and stage > 0 else 1))
                width_in = width
        self.blocks = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1) if pool is None else nn.AvgPool2d(pool)
        self.head = nn.Linear(width_in, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, 1, H, W) to logits (N, classes)."""
        features_NCHW = self.blocks(self.stem(images_NCHW))
        return self.head(self.pool(features_NCHW).flatten(1))
