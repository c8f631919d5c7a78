"""The front end of a recogniser, inside the exported graph: 16-bit samples to logarithms of energies."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.networks.speech import gabor_filters, over_time

SHORTEST = 1_600
"""Fewest samples of a recording: 0.1 s."""
FLOOR = 1e-6
"""Energy that is added before the logarithm: that of noise at -60 dB."""
MIDDLE, SPREAD = -7.0, 4.0
"""Typical mean and standard deviation of the logarithms."""


class LogBank(nn.Module):
    """Logarithmic energies in mel-spaced bands. A frame depends on its own samples only, not on the whole recording.

    So silence after the end changes nothing before it, and recordings of different lengths can share a batch.
    """

    filters_F1T: Tensor

    def __init__(self, bands: int, hop: int, taps: int, *, causal: bool = False, ahead: int = 0) -> None:
        """Compute the filters. They are not trained.

        Args:
            bands: number of mel-spaced bands.
            hop: samples from one frame to the next.
            taps: length of a filter in samples.
            causal: a frame sees the samples before it only, not those around it.
            ahead: samples of silence that are heard after the end.
        """
        super().__init__()
        self.hop, self.around = hop, (taps, ahead) if causal else (taps // 2, taps // 2 + ahead)
        self.register_buffer("filters_F1T", gabor_filters(bands, taps)[:, None], persistent=False)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to energies (N, bands, 1, frames).

        Training in bf16 computes the energies in fp32: bf16 has 8 bits, and would drown what is quiet in what is loud.
        """
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return self._levels(samples_NT)
        return self._levels(samples_NT)

    def _levels(self, samples_NT: Tensor) -> Tensor:
        padded_N1T = functional.pad(samples_NT.float()[:, None], self.around)
        waves_NFT = functional.conv1d(padded_N1T, self.filters_F1T, stride=self.hop)
        real_NBT, imaginary_NBT = waves_NFT.chunk(2, dim=1)
        levels_NBT = (real_NBT * real_NBT + imaginary_NBT * imaginary_NBT + FLOOR).log()
        return (levels_NBT[:, :, None] - MIDDLE) / SPREAD


def over_frames(width_in: int, width: int, kernel: int, stride: int = 1, *, causal: bool = False) -> nn.Sequential:
    """Build a convolution over frames, with batch norm and ReLU. If causal, it sees no later frames."""
    if not causal:
        return over_time(width_in, width, stride, kernel)
    conv = nn.Conv2d(width_in, width, (1, kernel), (1, stride), bias=False)
    return nn.Sequential(nn.ZeroPad2d((kernel - 1, 0, 0, 0)), conv, nn.BatchNorm2d(width), nn.ReLU())


class DropChannels(nn.Module):
    """Drop whole channels of a recording in training. It needs one random number a channel, not one a number."""

    def __init__(self, share: float) -> None:
        """Keep the share of channels to drop."""
        super().__init__()
        self.share = share

    def forward(self, features_NFC: Tensor) -> Tensor:
        """Map (N, frames, C) to the same shape."""
        if not self.training or self.share == 0:
            return features_NFC
        kept_N1C = torch.rand(features_NFC.shape[0], 1, features_NFC.shape[2]) >= self.share
        return features_NFC * (kept_N1C / (1 - self.share))
