"""A plain classifier of recordings: a filter bank, then convolutions over bands and frames as over a picture."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.networks.plain import convolution
from stillhouse.models.networks.speech import FilterBank


class PlainSoundNetwork(nn.Module):
    """Logarithms of energies in mel-spaced bands, convolutions with batch norm and ReLU, a mean, one linear layer."""

    def __init__(self, *, bands: int, hop: int, widths: Sequence[int], strides: Sequence[int], classes: int) -> None:
        """Build.

        Args:
            bands: bands of the filter bank.
            hop: samples from one frame to the next.
            widths: channels of each convolution.
            strides: stride of each convolution over bands and frames; 2 halves both.
            classes: number of logits.
        """
        super().__init__()
        self.bank = FilterBank(bands, hop)
        self.body = nn.Sequential(*map(convolution, (1, *widths[:-1]), widths, strides))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, samples_NT: Tensor) -> Tensor:
        """Map 16-bit samples (N, T) of any number type to logits (N, classes)."""
        features_NCBF = self.body(self.bank(samples_NT)[:, None])
        return self.head(functional.avg_pool2d(features_NCBF, features_NCBF.shape[2:]).flatten(1))
