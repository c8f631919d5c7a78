"""A text tower: hashed character n-grams, summed, then a small perceptron (after fastText, arXiv:1607.04606).

The hash is part of the network, so an exported tower takes code points and needs no vocabulary beside it. A small
character transformer learned captions more than ten times slower on the same processor.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

MULTIPLIER = 1_000_003
"""Of the rolling hash: below 2^20, so that no product leaves 64 bits while there are fewer than 2^43 buckets."""


class NgramTable(nn.Module):
    """A linear layer on counts of hashed n-grams, of which only the few rows that count are read."""

    def __init__(self, buckets: int, width: int) -> None:
        """Build with `weight` (width, buckets), output first as any linear layer has it."""
        super().__init__()
        self.weight = nn.Parameter(0.03 * torch.randn(width, buckets))

    def forward(self, buckets_NG: Tensor, counts_NG: Tensor) -> Tensor:
        """Sum the rows (N, width) of n-grams (N, G), each as often as it counts."""
        rows = self.weight.t()
        if torch.compiler.is_exporting():  # the exporter makes a loop of an embedding bag
            return (functional.embedding(buckets_NG, rows) * counts_NG[:, :, None]).sum(1)
        return functional.embedding_bag(buckets_NG, rows.contiguous(), mode="sum", per_sample_weights=counts_NG)


class NgramTower(nn.Module):
    """Code points -> one unit vector per sentence."""

    def __init__(self, buckets: int, width: int, hidden: int, dimension: int, longest: int = 5) -> None:
        """Build.

        Args:
            buckets: rows of the table, best a prime.
            width: of a row.
            hidden: of the perceptron.
            dimension: of the space all towers share.
            longest: n-grams of 1 to this many characters count.
        """
        super().__init__()
        self.buckets, self.longest = buckets, longest
        self.table = NgramTable(buckets, width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.head = nn.Linear(hidden, dimension)

    def forward(self, codes_NL: Tensor) -> Tensor:
        """Map code points (N, L), int64, filled up with 0, to unit vectors (N, dimension)."""
        buckets_NG, real_NG = self.hashed(codes_NL)
        counts_NG = real_NG.float()
        sums_NW = self.table(buckets_NG, counts_NG) / counts_NG.sum(1, keepdim=True).sqrt()
        hidden_NH = functional.relu(self.up(self.norm(sums_NW)))
        hidden_NH = hidden_NH + functional.relu(self.mix(hidden_NH))
        return functional.normalize(self.head(hidden_NH), dim=1)

    def hashed(self, codes_NL: Tensor) -> tuple[Tensor, Tensor]:
        """Hash every n-gram: its bucket (N, G) and whether it lies inside the sentence, G = longest * L."""
        length = codes_NL.shape[1]
        padded = functional.pad(codes_NL, (0, self.longest - 1))
        hash_NL, inside_NL = torch.zeros_like(codes_NL), codes_NL > 0
        buckets, inside = [], []
        for order in range(self.longest):
            next_NL = padded[:, order : order + length]
            hash_NL = (hash_NL * MULTIPLIER + next_NL + order) % self.buckets
            inside_NL = inside_NL & (next_NL > 0)
            buckets.append(hash_NL)
            inside.append(inside_NL)
        return torch.cat(buckets, 1), torch.cat(inside, 1)
