"""A small convolutional classifier that judges pictures: its features and its classes, for measures and for losses."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PictureJudge(nn.Module):
    """Convolutions, an average, features, classes."""

    def __init__(self, widths: Sequence[int], features: int, classes: int = 10, channels: int = 1) -> None:
        """Build. Each convolution after the first halves the picture's side.

        Args:
            widths: channels of each convolution.
            features: number of features.
            classes: number of classes. The training data gives it.
            channels: channels of a picture. The training data gives it.
        """
        super().__init__()
        self.features = features
        pairs = zip((channels, *widths), widths, strict=False)
        self.body = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, 3, 2 if number else 1, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            )
            for number, (before, width) in enumerate(pairs)
        )
        self.embed, self.head = nn.Linear(widths[-1], features), nn.Linear(features, classes)

    def forward(self, pixels_NCHW: Tensor) -> Tensor:
        """Map scaled pixels to features and logits (N, features + classes)."""
        features_NF = self.embed(self.maps(pixels_NCHW)[-1].mean((2, 3)))
        return torch.cat([features_NF, self.head(features_NF.relu())], dim=1)

    def maps(self, pixels_NCHW: Tensor) -> list[Tensor]:
        """Return the output (N, C, H, W) of each convolution."""
        found = [pixels_NCHW]
        for layer in self.body:
            found.append(layer(found[-1]))
        return found[1:]
