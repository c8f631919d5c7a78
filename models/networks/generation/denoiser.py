"""A small U-Net that moves noise towards pictures (flow matching, Lipman 2022, arXiv:2210.02747).

Its input is one row of numbers per picture, the state: the picture, the moment, the condition. The picture is folded
to half its height and width and four times the channels. Convolutions at full size would take most of the time.

The best linear guess of the velocity is known. The layers add what is missing, in numbers near one at every moment
(preconditioning, Karras 2022, arXiv:2206.00364, written for velocities). Or they give the picture itself, and the
velocity is the one that ends there.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

FOLD = 2
"""Height and width of the pixels that become channels of one place."""
FARTHEST = 2 * FOLD
"""The smallest map has a side as many times smaller than the picture."""
WAVES = 8
"""Number of frequencies in which the network reads the moment."""
GROUPS = 8
"""Groups of channels that are normalised together."""
LEAST_LEFT = 1e-3
"""Least time left in which a state moves to the picture that the network predicts."""
SPREAD = 0.7
"""Standard deviation of the pixels of pictures, from -1 to 1, that the network expects."""


class ConditionedBlock(nn.Module):
    """Two convolutions, each after a norm, and a shortcut. The embedding scales and shifts the second norm's output."""

    def __init__(self, width_in: int, width: int, embedding: int) -> None:
        """Build. The last convolution begins at zero, so the block begins as its shortcut."""
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups_of(width_in), width_in), nn.GroupNorm(groups_of(width), width)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.film = nn.Linear(embedding, 2 * width)
        self.shortcut = nn.Identity() if width_in == width else nn.Conv2d(width_in, width, 1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, features_NCHW: Tensor, embedding_NE: Tensor) -> Tensor:
        """Map (N, width_in, H, W) to (N, width, H, W)."""
        hidden_NCHW = self.conv1(functional.silu(self.norm1(features_NCHW)))
        scale_NC11, shift_NC11 = self.film(embedding_NE)[:, :, None, None].chunk(2, dim=1)
        hidden_NCHW = self.norm2(hidden_NCHW) * (1 + scale_NC11) + shift_NC11
        return self.shortcut(features_NCHW) + self.conv2(functional.silu(hidden_NCHW))


class Denoiser(nn.Module):
    """State in, velocity out: the direction from noise to the picture, in pixels per unit of time."""

    waves_W: Tensor

    def __init__(  # noqa: PLR0913 - the arguments a recipe gives by name
        self,
        *,
        widths: Sequence[int],
        depths: Sequence[int],
        embedding: int,
        steps: int,
        guidance: float = 1.0,
        solver: str = "euler",
        canvas: int = 0,
        predicts: str = "velocity",
        centre: float = 0.0,
        image_shape: Sequence[int] = (1, 28, 28),
        dimension: int = 64,
    ) -> None:
        """Build.

        Args:
            widths: channels at half and at a quarter of the picture's side.
            depths: number of blocks at half the side before, at a quarter, and at half the side after.
            embedding: width of the embedding of moment and condition.
            steps: number of steps of the sampler.
            guidance: how far beyond the unconditional velocity the sampler goes. 1: no guidance.
            solver: `euler` or `heun`.
            canvas: channels of a picture, a quarter of the side, that the embedding draws by itself. 0: none.
            predicts: what the layers give, `velocity` or `picture`. A picture has no noise to cancel.
            centre: centre of the logit-normal moments at which a teacher learns. Below 0 there is more noise.
            image_shape: channels, height and width of a picture. The training data gives it.
            dimension: dimension of the condition. The text encoder gives it.
        """
        super().__init__()
        self.predicts, self.image_shape, self.pixels = predicts, tuple(image_shape), prod(image_shape)
        self.centre, self.scale = centre, dimension**0.5
        self.sampler = {"steps": steps, "guidance": guidance, "solver": solver}
        (near, far), channels = widths, image_shape[0] * FOLD**2
        self.register_buffer("waves_W", torch.pi * 2.0 ** torch.arange(WAVES), persistent=False)
        self.embed = _perceptron(2 * WAVES + dimension, embedding)
        self.stem = nn.Conv2d(channels, near, 3, padding=1)
        self.before = _blocks(near, near, depths[0], embedding)
        self.down = nn.Conv2d(near, far, 3, stride=2, padding=1)
        self.canvas = _canvas(embedding, canvas, far, image_shape) if canvas else None
        self.middle = _blocks(far, far, depths[1], embedding)
        self.up = nn.ConvTranspose2d(far, near, 2, stride=2)
        self.after = _blocks(2 * near, near, depths[2], embedding)
        self.norm, self.head = nn.GroupNorm(groups_of(near), near), nn.Conv2d(near, channels, 3, padding=1)

    def forward(self, states_NK: Tensor) -> Tensor:
        """Map states (N, pixels + 1 + dimension) to velocities (N, pixels)."""
        pixels_NP, moments_N1, conditions_ND = states_NK.split(
            [self.pixels, 1, states_NK.shape[1] - self.pixels - 1], dim=1
        )
        guess_N1, shrink_N1 = precondition(moments_N1)
        given_NP = self._layers(pixels_NP * shrink_N1, self._embed(moments_N1, conditions_ND))
        if self.predicts == "picture":
            left_N1 = (1 - moments_N1).clamp(min=LEAST_LEFT)
            return (given_NP.tanh() - pixels_NP) / left_N1
        return guess_N1 * pixels_NP + SPREAD * shrink_N1 * given_NP

    def _layers(self, pixels_NP: Tensor, embedding_NE: Tensor) -> Tensor:
        near_NCHW = self.stem(functional.pixel_unshuffle(pixels_NP.unflatten(1, self.image_shape), FOLD))
        near_NCHW = _through(self.before, near_NCHW, embedding_NE)
        far_NCHW = self.down(near_NCHW)
        if self.canvas is not None:
            far_NCHW = far_NCHW + self.canvas(embedding_NE)
        far_NCHW = _through(self.middle, far_NCHW, embedding_NE)
        both_NCHW = torch.cat([near_NCHW, self.up(far_NCHW)], dim=1)
        after_NCHW = functional.silu(self.norm(_through(self.after, both_NCHW, embedding_NE)))
        return functional.pixel_shuffle(self.head(after_NCHW), FOLD).flatten(1)

    def _embed(self, moments_N1: Tensor, conditions_ND: Tensor) -> Tensor:
        angles_NW = moments_N1 * self.waves_W
        near_one_ND = self.scale * conditions_ND  # a condition is a unit vector
        return self.embed(torch.cat([angles_NW.sin(), angles_NW.cos(), near_one_ND], dim=1))


def precondition(moments_N1: Tensor) -> tuple[Tensor, Tensor]:
    """Return two factors on the pixels: to the best linear guess of the velocity, and to a deviation of 1."""
    signal_N1, noise_N1 = moments_N1 * SPREAD**2, 1 - moments_N1
    variance_N1 = signal_N1 * moments_N1 + noise_N1**2
    return (signal_N1 - noise_N1) / variance_N1, variance_N1.rsqrt()


def groups_of(width: int) -> int:
    """Return the largest number of groups, at most GROUPS, that divides a width."""
    return next(groups for groups in range(GROUPS, 0, -1) if width % groups == 0)


def _perceptron(width_in: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())


def _canvas(embedding: int, channels: int, width: int, image_shape: Sequence[int]) -> nn.Sequential:
    """Draw from an embedding alone. Blocks that only scale and shift channels cannot place a shape."""
    sides = [side // FARTHEST for side in image_shape[1:]]
    return nn.Sequential(
        nn.Linear(embedding, channels * prod(sides)), nn.Unflatten(1, (channels, *sides)), nn.Conv2d(channels, width, 1)
    )


def _blocks(width_in: int, width: int, depth: int, embedding: int) -> nn.ModuleList:
    return nn.ModuleList(ConditionedBlock(width if number else width_in, width, embedding) for number in range(depth))


def _through(blocks: nn.ModuleList, features_NCHW: Tensor, embedding_NE: Tensor) -> Tensor:
    for block in blocks:
        features_NCHW = block(features_NCHW, embedding_NE)
    return features_NCHW
