"""Low-rank factorization: thinner layers replace a linear layer, a convolution or a table of n-grams.

Linear layers and 1x1 convolutions become two layers by singular value decomposition. Larger convolutions become three
layers (1x1, core, 1x1) by a Tucker-2 decomposition (Kim et al. 2015, arXiv:1511.06530) with HOSVD factors. A table of
n-grams becomes a table of thinner rows, and a linear layer widens their sum.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stillhouse.models.compression.pruning.weights import Layer, prunable
from stillhouse.models.compression.shapes import layer_shapes
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.texts.ngrams import NgramTable, tables_of

MULTIPLE = 8
"""Ranks are multiples of this number, because integer kernels work on whole vectors of channels."""
Ranks = dict[str, list[int]]
"""Layer -> [rank]. A convolution larger than 1x1 has [input rank, output rank]."""


class Factors(nn.Sequential):
    """Thin layers that replace one layer."""


class ThinTable(nn.Module):
    """A table of thin rows and a linear layer that widens their sum. Together they replace one table."""

    def __init__(self, buckets: int, rank: int, width: int) -> None:
        """Build rows of `rank` numbers. Their sum is widened to `width`."""
        super().__init__()
        self.rows = NgramTable(buckets, rank)
        self.widen = nn.Linear(rank, width, bias=False)

    def forward(self, buckets_NG: Tensor, inside_NG: Tensor) -> Tensor:
        """Sum the rows of the n-grams (N, G) that are inside the sentence, and widen the sum to (N, width)."""
        widened_NW: Tensor = self.widen(self.rows(buckets_NG, inside_NG))
        return widened_NW


def ranks_for(module: nn.Module, example: Tensor, energy: float, only: Collection[str] = ()) -> Ranks:
    """Choose the smallest ranks that keep `energy`, for every layer. Layers that would not get cheaper are left out.

    Args:
        module: the network.
        example: one input (1, C, H, W). It shows how often each layer is applied.
        energy: share of the squared singular values to keep.
        only: names of the layers to choose from. An empty collection means all layers.

    Raises:
        ModelError: no layer would need fewer multiply-accumulates, or `only` has an unknown name.
    """
    _refuse_unknown(module, only)
    ranks: Ranks = {}
    shapes = layer_shapes(module, example)
    for name, layer in prunable(module).items():
        if name in shapes and getattr(layer, "groups", 1) == 1:
            chosen = [_rank(matrix, energy) for matrix in _unfold(layer)]
            if _macs(_thin(layer, chosen), shapes[name][0]) < _macs(nn.Sequential(layer), shapes[name][0]):
                ranks[name] = chosen
    for name, table in tables_of(module).items():
        rank = _rank(table.weight.detach(), energy)
        if rank * sum(table.weight.shape) < table.weight.numel():
            ranks[name] = [rank]
    ranks = {name: chosen for name, chosen in ranks.items() if not only or name in only}
    if not ranks:
        msg = f"low_rank makes no layer of this model cheaper at energy {energy}; lower energy or remove the step"
        raise ModelError(msg)
    return ranks


def factorise(module: nn.Module, ranks: Mapping[str, Sequence[int]]) -> nn.Module:
    """Replace the named layers by thin layers, in place. Their weights are undefined until a state is loaded."""
    layers = _layers(module)
    for name, chosen in ranks.items():
        module.set_submodule(name, _thin(layers[name], chosen))
    return module


@torch.no_grad()
def low_rank(module: nn.Module, ranks: Mapping[str, Sequence[int]]) -> nn.Module:
    """Replace the named layers by their best low-rank approximation (least squares), in place."""
    layers = _layers(module)
    for name, chosen in ranks.items():
        thin = _thin(layers[name], chosen)
        _fill(thin, layers[name])
        module.set_submodule(name, thin)
    return module


def _refuse_unknown(module: nn.Module, names: Collection[str]) -> None:
    known = _layers(module)
    if unknown := sorted({*names} - {*known}):
        msg = f"low_rank finds no layer {', '.join(unknown)} in this model; its layers are {', '.join(known)}"
        raise ModelError(msg)


def _layers(module: nn.Module) -> dict[str, Layer | NgramTable]:
    return {**tables_of(module), **prunable(module)}


def _is_matrix(layer: Layer | NgramTable) -> bool:
    return isinstance(layer, nn.Linear | NgramTable) or layer.kernel_size == (1, 1)


def _unfold(layer: Layer | NgramTable) -> list[Tensor]:
    """Unfold a weight into matrices whose left singular vectors are the factors.

    A larger convolution gives one matrix for the inputs and one for the outputs. Other layers give one for the outputs.
    """
    weight = layer.weight.detach()
    return [weight.flatten(1)] if _is_matrix(layer) else [weight.transpose(0, 1).flatten(1), weight.flatten(1)]


def _rank(matrix: Tensor, energy: float) -> int:
    kept_R = torch.linalg.svdvals(matrix).double().square().cumsum(0)
    needed = int((kept_R < energy * kept_R[-1]).sum()) + 1
    return min(-(-needed // MULTIPLE) * MULTIPLE, int(min(matrix.shape)))


def _thin(layer: Layer | NgramTable, ranks: Sequence[int]) -> Factors | ThinTable:
    if isinstance(layer, NgramTable):
        width, buckets = layer.weight.shape
        return ThinTable(buckets, ranks[0], width)
    biased = layer.bias is not None
    if isinstance(layer, nn.Linear):
        return Factors(
            nn.Linear(layer.in_features, ranks[0], bias=False), nn.Linear(ranks[0], layer.out_features, bias=biased)
        )
    where = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "padding_mode")}
    size: Any = layer.kernel_size
    last = nn.Conv2d(ranks[-1], layer.out_channels, 1, bias=biased)
    if _is_matrix(layer):
        return Factors(nn.Conv2d(layer.in_channels, ranks[0], 1, bias=False, **where), last)
    core = nn.Conv2d(ranks[0], ranks[1], size, bias=False, **where)
    return Factors(nn.Conv2d(layer.in_channels, ranks[0], 1, bias=False), core, last)


def _fill(thin: Factors | ThinTable, layer: Layer | NgramTable) -> None:
    thinner = list(_layers(thin).values())
    factors = [torch.linalg.svd(matrix, full_matrices=False)[0] for matrix in _unfold(layer)]
    outputs_OR = factors[-1][:, : thinner[-1].weight.shape[1]]
    inner = torch.einsum("or,oi...->ri...", outputs_OR, layer.weight)
    if len(thinner) > 2:  # noqa: PLR2004 - a matrix is a product of two
        inputs_IR = factors[0][:, : len(thinner[0].weight)]
        thinner[1].weight.copy_(torch.einsum("is,ri...->rs...", inputs_IR, inner))
        inner = inputs_IR.T[..., None, None]
    thinner[0].weight.copy_(inner)
    thinner[-1].weight.copy_(outputs_OR.reshape(thinner[-1].weight.shape))
    if not isinstance(layer, NgramTable):
        thinner[-1].bias = layer.bias


def _macs(layers: nn.Module, shape: torch.Size) -> int:
    """Count the multiply-accumulates of one input. Every output number uses one row of weights."""
    applied = layer_shapes(layers, torch.zeros(1, *shape[1:]))
    return sum(applied[name][1].numel() * layer.weight[0].numel() for name, layer in prunable(layers).items())
