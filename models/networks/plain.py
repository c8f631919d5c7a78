"""A plain stack of 3x3 convolutions: at batch 1 a small integer network spends much of its time between operators.

Without shortcuts it has half as many operators as a residual network of the same depth, so the same time buys wider
layers; a teacher makes up for what shortcuts do for training. RepVGG's branches (arXiv:2101.03697) were tried on it: no
surer quality in an epoch that takes 1.6 times as long.
"""

from collections.abc import Sequence

from torch import Tensor, nn


class PlainNetwork(nn.Module):
    """Convolutions with batch norm and ReLU, an average, one linear layer."""

    def __init__(self, widths: Sequence[int], strides: Sequence[int], pool: int, classes: int = 10) -> None:
        """Build.

        Args:
            widths: channels of each convolution.
            strides: stride of each convolution; 2 halves the image.
            pool: side of the last feature map: a pooling of fixed size stays an integer operator in ONNX Runtime.
            classes: how many logits.
        """
        super().__init__()
        self.body = nn.Sequential(*map(convolution, (1, *widths[:-1]), widths, strides))
        self.pool = nn.AvgPool2d(pool)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, 1, H, W) to logits (N, classes)."""
        return self.head(self.pool(self.body(images_NCHW)).flatten(1))


def convolution(width_in: int, width: int, stride: int) -> nn.Sequential:
    """Build a 3x3 convolution with batch norm and ReLU."""
    conv = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())
