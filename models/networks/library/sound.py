"""Prepare raw samples inside the network, as a feature extractor of the transformers library does outside of it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

FULL_SCALE = 32_768.0
"""A sample of this value is 1 to the library."""
LEAST_VARIANCE = 1e-7
WINDOW, HOP, POINTS = 400, 160, 512
"""Samples of a frame (25 ms), samples to the next frame, and points of the Fourier transform."""
PREEMPHASIS = 0.97
LOWEST = 20.0
"""Lowest band edge in hertz."""
FLOOR = 1.192092955078125e-07
"""Least energy of a band: Kaldi's, which is float32's epsilon."""


class Waveform(nn.Module):
    """Samples of full scale 1, if asked for with mean 0 and variance 1 (`Wav2Vec2FeatureExtractor`)."""

    def __init__(self, *, normalised: bool) -> None:
        """Build."""
        super().__init__()
        self.normalised = normalised

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to floats (N, T)."""
        scaled_NT = samples_NT.float() / FULL_SCALE
        if not self.normalised:
            return scaled_NT
        centred_NT = scaled_NT - scaled_NT.mean(1, keepdim=True)
        return centred_NT / ((centred_NT * centred_NT).mean(1, keepdim=True) + LEAST_VARIANCE).sqrt()


class KaldiFilterBank(nn.Module):
    """Logarithms of the energies in mel bands as Kaldi computes them (`ASTFeatureExtractor`).

    Removing the mean of a frame, the pre-emphasis, the window and the Fourier transform are linear, so that one
    convolution does all of it.
    """

    waves_F1T: Tensor
    mels_PB: Tensor

    def __init__(self, *, bands: int, frames: int, mean: float, deviation: float, rate: int) -> None:
        """Compute the filters. They are not trained.

        Args:
            bands: number of mel bands.
            frames: frames that the model takes. Fewer are filled with 0, more are cut.
            mean: is subtracted from each logarithm.
            deviation: each logarithm is then divided by it.
            rate: samples a second.
        """
        super().__init__()
        self.frames, self.mean, self.deviation = frames, mean, deviation
        self.register_buffer("waves_F1T", _waves()[:, None].float(), persistent=False)
        self.register_buffer("mels_PB", _mel_bands(bands, rate).float(), persistent=False)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to logarithms (N, frames, bands)."""
        scaled_N1T = samples_NT.float()[:, None] / FULL_SCALE
        real_NPF, imaginary_NPF = functional.conv1d(scaled_N1T, self.waves_F1T, stride=HOP).chunk(2, dim=1)
        energies_NFB = (real_NPF * real_NPF + imaginary_NPF * imaginary_NPF).transpose(1, 2) @ self.mels_PB
        levels_NFB = energies_NFB.clamp(min=FLOOR).log()[:, : self.frames]
        filled_NFB = functional.pad(levels_NFB, (0, 0, 0, self.frames - levels_NFB.shape[1]))
        return (filled_NFB - self.mean) / self.deviation


def _waves() -> Tensor:
    """Return the real and then the imaginary part of the transform of a frame (2 * (POINTS / 2 + 1), WINDOW)."""
    window_T = torch.hann_window(WINDOW, periodic=False, dtype=torch.float64)
    turns_PT = torch.outer(torch.arange(POINTS // 2 + 1), torch.arange(WINDOW)).double() * (2 * math.pi / POINTS)
    emphasis_TT = torch.eye(WINDOW, dtype=torch.float64) - PREEMPHASIS * torch.diag(torch.ones(WINDOW - 1), -1).double()
    emphasis_TT[0, 0] -= PREEMPHASIS
    centring_TT = torch.eye(WINDOW, dtype=torch.float64) - 1 / WINDOW
    return torch.cat([turns_PT.cos(), -turns_PT.sin()]) * window_T @ emphasis_TT @ centring_TT


def _mel_bands(bands: int, rate: int) -> Tensor:
    """Return the share (POINTS / 2 + 1, bands) of each frequency in each band, which is a triangle over mels."""
    edges_E = torch.linspace(_mel(LOWEST), _mel(rate // 2), bands + 2, dtype=torch.float64)
    places_P1 = torch.tensor([[_mel(rate * point / POINTS)] for point in range(POINTS // 2 + 1)], dtype=torch.float64)
    rising_PB = (places_P1 - edges_E[:-2]) / (edges_E[1:-1] - edges_E[:-2])
    falling_PB = (edges_E[2:] - places_P1) / (edges_E[2:] - edges_E[1:-1])
    return torch.minimum(rising_PB, falling_PB).clamp(min=0.0)


def _mel(hertz: float) -> float:
    return 1127 * math.log(1 + hertz / 700)
