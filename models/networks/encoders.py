"""Image encoders: the classification networks, with a unit vector of a shared space instead of logits."""

from collections.abc import Sequence

from torch import Tensor

from stillhouse.models.networks.plain import PlainNetwork
from stillhouse.models.networks.residual import ResidualNetwork
from stillhouse.models.networks.unit import unit

RGB = 3


class ResidualEncoder(ResidualNetwork):
    """Residual blocks to one unit vector per image."""

    def __init__(  # noqa: PLR0913 - the arguments a recipe gives by name
        self,
        *,
        dimension: int,
        stem: int,
        widths: Sequence[int],
        strides: Sequence[int],
        stem_kernel: int = 3,
        stem_stride: int = 2,
        pool: int | None = None,
    ) -> None:
        """Build a ResidualNetwork for colour images. `dimension` is the dimension of the shared space."""
        super().__init__(stem, widths, strides, stem_kernel, pool, dimension, channels=RGB, stem_stride=stem_stride)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to unit vectors (N, dimension)."""
        return unit(super().forward(images_NCHW))


class PlainEncoder(PlainNetwork):
    """A plain stack of convolutions to one unit vector per image."""

    def __init__(
        self, *, dimension: int, widths: Sequence[int], strides: Sequence[int], pool: int, stem_kernel: int = 3
    ) -> None:
        """Build a PlainNetwork for colour images. `dimension` is the dimension of the shared space."""
        super().__init__(widths, strides, pool, dimension, channels=RGB, stem_kernel=stem_kernel)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to unit vectors (N, dimension)."""
        return unit(super().forward(images_NCHW))
