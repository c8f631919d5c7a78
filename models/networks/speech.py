"""Speech encoders: a filter bank, then convolutions over time, then one unit vector per recording.

The filter bank is part of the network, so an exported encoder takes samples and needs no separate front end.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.data.sound.audio import SAMPLE_RATE
from stillhouse.models.data.sound.waves import LENGTH
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.unit import unit

LOUDEST = 32_768.0
LOWEST, HIGHEST = 60.0, 7600.0
"""Lowest and highest band edge, in hertz."""
TAPS = 400
"""Length of a filter in samples: 25 ms."""
FLOOR = 1e-7
"""Energy that is added before the logarithm, so that the logarithm of silence is finite."""
STEM_KERNEL = 5
READING = 7
"""Number of frames that each convolution over letters sees."""
SPREAD = 4.0
"""Typical standard deviation of the logarithms. The logarithms are divided by it."""


class FilterBank(nn.Module):
    """Logarithmic energies in mel-spaced bands, by complex Gabor filters (time-domain filter banks, arXiv:1711.01161).

    One convolution replaces the Fourier transform and the mel matrix.
    """

    filters_F1T: Tensor

    def __init__(self, bands: int, hop: int) -> None:
        """Compute the filters. They are not trained.

        Args:
            bands: number of mel-spaced bands.
            hop: samples from one frame to the next.
        """
        super().__init__()
        self.hop = hop
        self.register_buffer("filters_F1T", gabor_filters(bands, TAPS)[:, None], persistent=False)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to logarithmic energies (N, bands, frames)."""
        real_NBF, imaginary_NBF = functional.conv1d(
            samples_NT.float()[:, None], self.filters_F1T, stride=self.hop, padding=TAPS // 2
        ).chunk(2, dim=1)
        levels_NBF = (real_NBF * real_NBF + imaginary_NBF * imaginary_NBF + FLOOR).log()
        return (levels_NBF - levels_NBF.mean((1, 2), keepdim=True)) / SPREAD


class FramedFilterBank(nn.Module):
    """A filter bank on adjacent frames, as one matrix product: half the time of `FilterBank`, without normalisation."""

    filters_TF: Tensor

    def __init__(self, bands: int, hop: int) -> None:
        """Compute the filters. Each filter is as long as a frame.

        Args:
            bands: number of mel-spaced bands.
            hop: samples of a frame.

        Raises:
            ModelError: a recording is not a whole number of frames.
        """
        super().__init__()
        if LENGTH % hop:
            msg = f"a recording of {LENGTH} samples is no whole number of frames of {hop}; set hop to a divisor, as 160"
            raise ModelError(msg)
        self.hop = hop
        self.register_buffer("filters_TF", gabor_filters(bands, hop).T, persistent=False)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to roots of energies (N, bands, frames), from 0 to about 1.

        A zero frame is added before the first frame, so that the number of frames equals that of `FilterBank`.
        """
        frames_NFT = samples_NT.reshape(-1, LENGTH // self.hop, self.hop).float()
        waves_NFC = frames_NFT @ self.filters_TF
        real_NFB, imaginary_NFB = (waves_NFC * waves_NFC).chunk(2, dim=2)
        return functional.pad((real_NFB + imaginary_NFB).sqrt().sqrt(), (0, 0, 1, 0)).transpose(1, 2)


def gabor_filters(bands: int, taps: int) -> Tensor:
    """Return Gaussian-windowed waves (2 * bands, taps) for mel-spaced bands: real parts, then imaginary parts.

    Window tails that float32 can only hold as subnormal numbers are set to 0. They change no output. A processor
    multiplies subnormal numbers up to a hundred times slower: 36 of 7,680 numbers made the product 14 times slower.
    """
    edges_E = _hertz(torch.linspace(_mel(LOWEST), _mel(HIGHEST), bands + 2, dtype=torch.float64))
    centres_B1, widths_B1 = edges_E[1:-1, None], (edges_E[2:] - edges_E[:-2])[:, None] / 2
    seconds_T = (torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / SAMPLE_RATE
    deviations_B1 = (1 / (1.2 * math.pi * widths_B1)).clamp(max=taps / SAMPLE_RATE / 5)
    windows_BT = torch.exp(-(seconds_T**2) / (2 * deviations_B1**2))
    windows_BT /= windows_BT.sum(1, keepdim=True)
    phases_BT = 2 * math.pi * centres_B1 * seconds_T
    filters_FT = torch.cat([windows_BT * phases_BT.cos(), windows_BT * phases_BT.sin()]).float() / LOUDEST
    return torch.where(filters_FT.abs() < torch.finfo(torch.float32).tiny, 0.0, filters_FT)


def _mel(hertz: float) -> float:
    return 2595 * math.log10(1 + hertz / 700)


def _hertz(mels: Tensor) -> Tensor:
    return 700 * (10 ** (mels / 2595) - 1)


def _frames(hop: int, stem: Sequence[int]) -> int:
    """Count the frames of a recording after the stem. Each layer of the stem halves the frames."""
    left = LENGTH // hop + 1
    for _ in stem:
        left = -(-left // 2)
    return left


def over_time(width_in: int, width: int, stride: int, kernel: int) -> nn.Sequential:
    """Build a convolution over frames, with batch norm and ReLU."""
    conv = nn.Conv2d(width_in, width, (1, kernel), (1, stride), padding=(0, kernel // 2), bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


class ResidualOverTime(nn.Module):
    """Two convolutions over frames, and a shortcut around them."""

    def __init__(self, width_in: int, width: int, stride: int, kernel: int) -> None:
        """Build one block. If the shape changes, the shortcut is a 1x1 convolution."""
        super().__init__()
        self.first = over_time(width_in, width, stride, kernel)
        self.second = over_time(width, width, 1, kernel)[:2]
        self.relu = nn.ReLU()
        same = stride == 1 and width_in == width
        self.shortcut = nn.Identity() if same else over_time(width_in, width, stride, 1)[:2]

    def forward(self, features_NC1F: Tensor) -> Tensor:
        """Map (N, width_in, 1, frames) to (N, width, 1, frames / stride)."""
        return self.relu(self.second(self.first(features_NC1F)) + self.shortcut(features_NC1F))


class CtcEncoder(nn.Module):
    """A CTC encoder: finds letters in each frame ("hearing"), then maps the letters to a unit vector ("reading").

    The hearing part sees little more than a syllable at a time, so it cannot memorise whole words. The reading part can
    also learn from captions that nobody has recorded (like text injection in speech recognition, arXiv:2204.03409).
    """

    bank_type: type[nn.Module]
    """Constructor of the filter bank, called with bands and hop. Maps samples (N, T) to energies (N, bands, frames)."""
    block: Callable[[int, int, int, int], nn.Module]
    """Constructor of a block of the hearing part, called with input channels, output channels, stride and kernel."""

    def __init__(  # noqa: PLR0913 - the arguments a recipe gives by name
        self,
        *,
        dimension: int,
        bands: int,
        hop: int,
        stem: Sequence[int],
        widths: Sequence[int],
        kernel: int,
        reader: Sequence[int],
        hidden: int,
        letters: int,
    ) -> None:
        """Build.

        Args:
            dimension: dimension of the shared space.
            bands: bands of the filter bank.
            hop: samples from one frame to the next.
            stem: channels of the first convolutions. Each one halves the frames.
            widths: channels of each block of the hearing part.
            kernel: frames that each convolution of these blocks sees.
            reader: channels of a letter and of the reading convolutions. The second of them halves the frames.
            hidden: width of the layer before the last.
            letters: number of letters, including 0 for "no letter". Training takes it from the data.
        """
        super().__init__()
        self.letters, self.frames = letters, _frames(hop, stem)
        self.bank = self.bank_type(bands, hop)
        halvings = (over_time(before, width, 2, STEM_KERNEL) for before, width in pairwise((bands, *stem)))
        blocks = (self.block(before, width, 1, kernel) for before, width in pairwise((stem[-1], *widths)))
        self.body = nn.Sequential(*halvings, *blocks)
        self.speller = nn.Linear(widths[-1], letters)
        self.letter = nn.Linear(letters, reader[0])
        steps = enumerate(pairwise(reader))
        self.reader = nn.Sequential(*(over_time(*both, 2 if place == 1 else 1, READING) for place, both in steps))
        self.up = nn.Linear(reader[-1], hidden)
        self.head = nn.Linear(hidden, dimension)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) to unit vectors (N, dimension)."""
        return self._read(self._spell(samples_NT).softmax(1))

    def spell(self, samples_NT: Tensor) -> Tensor:
        """Map samples (N, T) to letter logits (N, frames, letters)."""
        return self._spell(samples_NT).reshape(-1, self.frames, self.letters)

    def read(self, chances_NFV: Tensor) -> Tensor:
        """Map letter probabilities (N, frames, letters) to unit vectors (N, dimension)."""
        return self._read(chances_NFV.flatten(0, 1))

    def _spell(self, samples_NT: Tensor) -> Tensor:
        """Return letter logits (N * frames, letters).

        In this two-dimensional form, the bias of the linear layer becomes part of its integer operator.
        """
        heard_N1FC = self.body(self.bank(samples_NT)[:, :, None]).permute(0, 2, 3, 1)
        rows_RV: Tensor = self.speller(heard_N1FC.reshape(-1, self.speller.in_features))
        return rows_RV

    def _read(self, chances_RV: Tensor) -> Tensor:
        letters_N1FC = self.letter(chances_RV).reshape(-1, 1, self.frames, self.letter.out_features)
        read_NC1F = self.reader(letters_N1FC.permute(0, 3, 1, 2))
        mean_NC = functional.avg_pool2d(read_NC1F, read_NC1F.shape[2:]).flatten(1)
        return unit(self.head(functional.relu(self.up(mean_NC))))


class ResidualSpeechEncoder(CtcEncoder):
    """A CTC encoder with residual blocks on the logarithms of energies, used as teacher."""

    bank_type = FilterBank
    block = ResidualOverTime


class PlainSpeechEncoder(CtcEncoder):
    """A CTC encoder with plain convolutions on the roots of energies, used as student."""

    bank_type = FramedFilterBank
    block = staticmethod(over_time)
