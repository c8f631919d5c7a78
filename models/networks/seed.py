"""The `MultimodalBigModel` of the seed article, corrected, and a simpler network to replace it."""

from torch import Tensor, nn


class MultimodalBigModel(nn.Module):
    """Convolution 3->64, then fully connected 4096->1024->10, on 3x8x8 inputs.

    In the printed article the flattened size does not fit. Padding in the convolution makes it 64*8*8 = 4096.
    """

    def __init__(self, channels: int = 64, hidden: int = 1024, classes: int = 10) -> None:
        """Build for 3x8x8 inputs."""
        super().__init__()
        self.conv = nn.Conv2d(3, channels, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(channels * 8 * 8, hidden)
        self.fc2 = nn.Linear(hidden, classes)
        self.relu = nn.ReLU()

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, 8, 8) to logits (N, classes)."""
        features_NCHW = self.relu(self.conv(images_NCHW))
        hidden_NH = self.relu(self.fc1(features_NCHW.flatten(1)))
        return self.fc2(hidden_NH)


class MultimodalSmallModel(nn.Module):
    """A structurally compressed `MultimodalBigModel`: a strided convolution and one layer fewer."""

    def __init__(self, channels: int = 16, classes: int = 10) -> None:
        """Build for 3x8x8 inputs."""
        super().__init__()
        self.conv = nn.Conv2d(3, channels, kernel_size=3, padding=1, stride=2)
        self.fc = nn.Linear(channels * 4 * 4, classes)
        self.relu = nn.ReLU()

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """Map images (N, 3, 8, 8) to logits (N, classes)."""
        return self.fc(self.relu(self.conv(images_NCHW)).flatten(1))
