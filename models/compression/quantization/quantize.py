"""Integer weights: `round(W / scale) * scale` with one scale per output channel, stored as integers.

`rounding` defines how a weight is rounded, `learned_step` trains for it, and `mixed` chooses the bits.
"""

from collections.abc import Collection, Mapping

from torch import Tensor, nn
from torch.nn.utils import parametrize

from stillhouse.models.compression.quantization.rounding import Stored, per_channel, proportional, round_weight
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.texts.bert import TokenTable
from stillhouse.models.networks.texts.ngrams import NgramTable

TABLES = (NgramTable, TokenTable)
QUANTIZABLE = (nn.Conv2d, nn.Linear, *TABLES)
Bits = int | Mapping[str, int]
"""Bits of every layer, or of the named layers. A layer that is not named stays float."""


class IntegerWeight(nn.Module):
    """A parametrization that stores int8 weights and their scales."""

    def __init__(self, bits: int) -> None:
        """Use 8, 6, 5, 4, 3 or 2 bits."""
        super().__init__()
        self.bits = bits

    def forward(self, integers: Tensor, scale_O: Tensor) -> Tensor:
        """Dequantize: `integers * scale`."""
        return integers.float() * per_channel(scale_O, integers)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Quantize a float weight without training."""
        stored = round_weight(weight, self.bits)
        return stored.integers, stored.scale_O


def integer_weights(module: nn.Module, bits: Bits = 8) -> nn.Module:
    """Store the weights of convolutions and linear layers as integers, in place.

    Raises:
        ModelError: no layer is changed, or `bits` names an unknown layer.
    """
    for name, width in bits_by_layer(module, bits).items():
        layer = module.get_submodule(name)
        layer.weight.requires_grad_(False)  # noqa: FBT003 - positional in torch
        parametrize.register_parametrization(layer, "weight", IntegerWeight(width))
    return module


def store_trained_integers(module: nn.Module, bits: Mapping[str, int], integers: Mapping[str, Tensor]) -> nn.Module:
    """Store trained integers, in place, as `integer_weights` does. The scales come from the weights.

    Args:
        module: its weights are multiples of the integers, channel by channel. Folding keeps this property.
        bits: bits of every layer that becomes integer.
        integers: integers of the same layers.
    """
    settled = {name: proportional(module.get_parameter(f"{name}.weight"), found) for name, found in integers.items()}
    integer_weights(module, bits)
    state = {f"{name}.parametrizations.weight.original0": stored.integers for name, stored in settled.items()}
    state |= {f"{name}.parametrizations.weight.original1": stored.scale_O for name, stored in settled.items()}
    module.load_state_dict(state, strict=False)
    return module


def fix_tables(module: nn.Module, bits: Mapping[str, int]) -> dict[str, Tensor]:
    """Round the tables of tokens, in place, and train them no more. Returns their integers by layer.

    A batch reads few rows, and learned steps of all rows would make a step of MiniLM 1.6 times as long. The
    other layers learn to live with the rounded rows.
    """
    integers = {}
    for name, layer in module.named_modules():
        if isinstance(layer, TokenTable) and name in bits:
            stored = round_weight(layer.weight.detach(), bits[name])
            layer.weight.requires_grad_(False).copy_(stored.integers * per_channel(stored.scale_O, layer.weight))  # noqa: FBT003 - positional in torch
            integers[name] = stored.integers
    return integers


def bits_by_layer(module: nn.Module, bits: Bits, keep_float: Collection[str] = ()) -> dict[str, int]:
    """Return the bits of every layer that becomes integer.

    Raises:
        ModelError: no layer is left, or a name is not the name of a layer with weights.
    """
    layers = quantizable(module)
    given = dict.fromkeys(layers, bits) if isinstance(bits, int) else dict(bits)
    unknown = sorted({*given, *keep_float} - {*layers})
    if unknown:
        msg = f"quantize finds no layer {', '.join(unknown)} in this model; its layers are {', '.join(layers)}"
        raise ModelError(msg)
    chosen = {name: width for name, width in given.items() if name not in keep_float}
    if not chosen:
        msg = "quantize changed no layer: none with weights is left to become integer; shorten keep_float or remove it"
        raise ModelError(msg)
    return chosen


def with_whole_edges(bits: Mapping[str, int], tables: Collection[str] = ()) -> dict[str, int]:
    """Give the first and the last layer 8 bits if there are more than two layers, as the authors of LSQ do.

    These layers have few bytes, and fewer bits would lose much quality. Tables do not count as first or last
    layer: they hold most bytes of a text encoder.
    """
    names = [name for name in bits if name not in tables]
    edges = {names[0], names[-1]} if len(names) > 2 else set()  # noqa: PLR2004 - else nothing would lie between
    return {name: 8 if name in edges else width for name, width in bits.items()}


def quantizable(module: nn.Module) -> list[str]:
    """Name the convolutions, linear layers and tables."""
    return [name for name, layer in module.named_modules() if isinstance(layer, QUANTIZABLE)]


def tables_in(module: nn.Module) -> list[str]:
    """Name the tables, whose rows are looked up."""
    return [name for name, layer in module.named_modules() if isinstance(layer, TABLES)]


def integer_edit(module: nn.Module, chosen: Mapping[str, int]) -> dict[str, object]:
    """Describe `integer_weights` as an edit: one number if all layers have the same bits, else the bits of each."""
    alike = set(chosen) == set(quantizable(module)) and len(set(chosen.values())) == 1
    return {"edit": "integer_weights", "bits": next(iter(chosen.values())) if alike else dict(chosen)}


def read_integers(module: nn.Module) -> dict[str, Stored]:
    """Return the integers of every layer that has integer weights, by layer name."""
    state = module.state_dict()
    first, second = (f".parametrizations.weight.original{index}" for index in (0, 1))
    layers = [name for name, layer in module.named_modules() if _is_integer(layer)]
    return {name: Stored(state[name + first], state[name + second]) for name in layers}


def dequantize(module: nn.Module) -> nn.Module:
    """Replace integer weights by their float values, as parameters, in place."""
    for layer in module.modules():
        if _is_integer(layer):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
            weight = layer.get_buffer("weight")
            del layer.weight
            layer.weight = nn.Parameter(weight)
    return module


def _is_integer(layer: nn.Module) -> bool:
    if not isinstance(layer, QUANTIZABLE) or not parametrize.is_parametrized(layer, "weight"):
        return False
    return isinstance(layer.parametrizations["weight"][0], IntegerWeight)  # type: ignore[index]
