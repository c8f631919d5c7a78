"""A plain stack of 3x3 convolutions, without shortcuts.

At batch 1, a small integer network spends much of its time between operators. This network has half as many operators
as a residual network of the same depth, so its layers can be wider in the same time. Shortcuts help the training, and
distillation from a teacher compensates for their absence. RepVGG's branches (arXiv:2101.03697) were tried: the quality
was not clearly better, and an epoch took 1.6 times as long.
"""

from collections.abc import Sequence

from torch import Tensor, nn


class PlainNetwork(nn.Module):
    """Convolutions with batch norm and ReLU, an average, one linear layer."""

    def __init__(  # noqa: PLR0913, PLR0917 - the arguments a recipe gives by name
        self,
        widths: Sequence[int],
        strides: Sequence[int],
        pool: int,
        classes: int = 10,
        channels: int = 1,
        stem_kernel: int = 3,
    ) -> None:
        """Build.

        Args:
            widths: channels of each convolution.
            strides: stride of each convolution; 2 halves the image.
            pool: side of the last feature map. A pooling of fixed size stays an integer operator in ONNX Runtime.
            classes: number of logits.
            channels: channels of the images.
            stem_kernel: side of the first convolution. If it equals the stride, the patches do not overlap.
        """
        super().__init__()
        kernels = (stem_kernel, *[3] * (len(widths) - 1))
        self.body = nn.Sequential(*map(convolution, (channels, *widths[:-1]), widths, strides, kernels))
        self.pool = nn.AvgPool2d(pool)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, channels, H, W) to logits (N, classes)."""
        return self.head(self.pool(self.body(images_NCHW)).flatten(1))


def convolution(width_in: int, width: int, stride: int, kernel: int = 3) -> nn.Sequential:
    """Build a convolution with batch norm and ReLU."""
    padding = 0 if kernel == stride else kernel // 2
    conv = nn.Conv2d(width_in, width, kernel, stride, padding=padding, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())
