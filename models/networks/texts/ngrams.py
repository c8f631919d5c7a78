"""A text encoder: hashed character n-grams, summed, then a small perceptron (after fastText, arXiv:1607.04606).

The hash is part of the network, so an exported encoder takes code points and needs no vocabulary file. On the same
processor, a small character transformer was more than ten times slower in learning captions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.data.text import CONTEXT
from stillhouse.models.networks.unit import unit

BASE, PRIME = 1_000_003, 2**31 - 1
"""Base and modulus of the hash. Powers of the base modulo the prime weigh the characters.

A code point has 21 bits, so the sums fit in 64 bits.
"""


class NgramTable(nn.Module):
    """A linear layer on counts of hashed n-grams. It reads only the few rows whose counts are not zero."""

    def __init__(self, buckets: int, width: int) -> None:
        """Build with `weight` (width, buckets), output first as in other layers. In memory, buckets come first."""
        super().__init__()
        self.weight = nn.Parameter((0.03 * torch.randn(buckets, width)).t())

    def forward(self, buckets_NG: Tensor, inside_NG: Tensor) -> Tensor:
        """Sum the rows of the n-grams (N, G) that are inside the sentence. Returns (N, width)."""
        rows = self.weight.t()
        if torch.compiler.is_exporting():  # the exporter would turn an embedding bag into a loop
            return (inside_NG.float()[:, None] @ functional.embedding(buckets_NG, rows))[:, 0]
        ends_N = inside_NG.sum(1).cumsum(0)
        return functional.embedding_bag(buckets_NG[inside_NG], rows, ends_N - inside_NG.sum(1), mode="sum")


def tables_of(module: nn.Module) -> dict[str, NgramTable]:
    """Find the tables of n-grams, by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, NgramTable)}


class NgramEncoder(nn.Module):
    """Code points to one unit vector per sentence."""

    factors_OO: Tensor
    salts_O: Tensor
    places_P: Tensor

    def __init__(self, buckets: int, width: int, hidden: int, dimension: int, longest: int = 5) -> None:
        """Build.

        Args:
            buckets: rows of the table, preferably a prime.
            width: width of a row.
            hidden: hidden width of the perceptron.
            dimension: dimension of the shared space.
            longest: n-grams have 1 to this many characters.
        """
        super().__init__()
        self.buckets, self.longest = buckets, longest
        powers = torch.tensor([pow(BASE, power, PRIME) for power in range(1, 2 * longest + 1)])
        places_P = (torch.arange(CONTEXT)[:, None] + torch.arange(longest)).flatten()
        self.register_buffer("factors_OO", powers[:longest, None].repeat(1, longest).triu(), persistent=False)
        self.register_buffer("salts_O", powers[longest:], persistent=False)
        self.register_buffer("places_P", places_P, persistent=False)
        self.table = NgramTable(buckets, width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, dimension)

    def forward(self, codes_NL: Tensor) -> Tensor:
        """Map code points (N, L), int64, padded with 0, to unit vectors (N, dimension)."""
        sums_NW = self.table(*self.hash_ngrams(codes_NL))
        hidden_NH = functional.relu(self.up(self.norm(sums_NW)))
        hidden_NH = hidden_NH + functional.relu(self.mix(hidden_NH))
        return unit(self.head(hidden_NH))

    def hash_ngrams(self, codes_NL: Tensor) -> tuple[Tensor, Tensor]:
        """Hash every n-gram. Returns its bucket (N, G) and whether it is inside the sentence, with G = longest * L."""
        padded = functional.pad(codes_NL, (0, self.longest - 1))
        windows_NG = padded.index_select(1, self.places_P[: codes_NL.shape[1] * self.longest])
        hashes_NLO = windows_NG.unflatten(1, (-1, self.longest)) @ self.factors_OO + self.salts_O
        return (hashes_NLO % self.buckets).flatten(1), windows_NG > 0
