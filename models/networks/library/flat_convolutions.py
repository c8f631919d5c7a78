"""Convolutions over time as convolutions over pictures of one row: the tools of compression know only the latter."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.utils import parametrize


class RowConvolution(nn.Conv2d):
    """A convolution over time, whose weight has the axes (O, I, 1, K)."""

    def forward(self, features_NCT: Tensor) -> Tensor:
        """Map (N, I, T) to (N, O, U)."""
        return super().forward(features_NCT[:, :, None])[:, :, 0]


def flatten_convolutions(module: nn.Module) -> nn.Module:
    """Replace every `nn.Conv1d` by a `RowConvolution` with the same weights, in place. Weight norms are multiplied out.

    Raises:
        NotImplementedError: a convolution pads with something else than zeros.
    """
    for name, layer in [*_over_time(module)]:
        module.set_submodule(name, _flatten(layer))
    return module


def _over_time(module: nn.Module) -> Iterator[tuple[str, nn.Conv1d]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Conv1d))


def _flatten(layer: nn.Conv1d) -> RowConvolution:
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        msg = f"a convolution with padding {layer.padding} {layer.padding_mode}"
        raise NotImplementedError(msg)
    if parametrize.is_parametrized(layer, "weight"):
        parametrize.remove_parametrizations(layer, "weight")
    row = RowConvolution(
        layer.in_channels,
        layer.out_channels,
        (1, layer.kernel_size[0]),
        (1, layer.stride[0]),
        padding=(0, layer.padding[0]),
        dilation=(1, layer.dilation[0]),
        groups=layer.groups,
        bias=layer.bias is not None,
    )
    row.weight = nn.Parameter(layer.weight.detach()[:, :, None].clone())
    row.bias = layer.bias
    return row
