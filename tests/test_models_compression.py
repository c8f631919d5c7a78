"""Every method on every network it fits: applied, still a model, smaller as claimed, saved and loaded the same."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.compression.cost import macs_and_parameters
from stillhouse.models.compression.depth import drop_layers, droppable
from stillhouse.models.compression.edits import layer_sizes
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.low_rank import low_rank, ranks_for
from stillhouse.models.compression.pruning.channels import Selection, Target, prune_channels
from stillhouse.models.compression.pruning.weights import (
    magnitude,
    make_permanent,
    prunable,
    prune_pattern,
    prune_weights,
    zeros,
)
from stillhouse.models.compression.quantization.learned_step import learn_steps, settle_steps
from stillhouse.models.compression.quantization.quantize import (
    bits_by_layer,
    dequantize,
    integer_edit,
    integer_weights,
    store_trained_integers,
)
from stillhouse.models.distillation.logit import distillation_loss
from stillhouse.models.errors import ModelError
from stillhouse.models.training.checkpoint import WEIGHTS, Architecture, load_model, save_model

STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}
DIGITS = Architecture("multimodal_small_model", {"channels": 16}, 6.0, (1, 8, 8))
RESIDUAL = Architecture("residual", {"stem": 16, "widths": [16, 32], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28))
SEPARABLE = replace(RESIDUAL, arguments={**RESIDUAL.arguments, "block": "separable"})
PLAIN = Architecture("plain", {"widths": [16, 16, 32], "strides": [2, 1, 2], "pool": 7}, 90.0, (1, 28, 28))
ATTENTION = Architecture(
    "attention", {"side": 28, "patch": 7, "width": 32, "heads": 4, "hidden": 64, "depth": 2}, 90.0, (1, 28, 28)
)
NETWORKS = {"digits": DIGITS, "residual": RESIDUAL, "separable": SEPARABLE, "plain": PLAIN, "attention": ATTENTION}
Made = tuple[nn.Module, Architecture]


def unstructured(module: nn.Module, architecture: Architecture) -> Made:
    prune_weights(module, magnitude(module), 0.5, "global")
    make_permanent(module)
    return module, architecture


def pattern(module: nn.Module, architecture: Architecture) -> Made:
    prune_pattern(module, magnitude(module), "2:4")
    make_permanent(module)
    return module, architecture


def structured(module: nn.Module, architecture: Architecture) -> Made:
    whole = measures(module, architecture)["macs"]
    share = Target("macs", 0.7, "{:.0%}", lambda left: measures(left, architecture)["macs"] / whole)
    pruned = prune_channels(module, architecture.example(), share, Selection("magnitude", 4))
    return pruned, architecture.with_edits({"edit": "resize", "sizes": layer_sizes(pruned)})


def shallower(module: nn.Module, architecture: Architecture) -> Made:
    names = ["1.body.1"] if architecture.network == "plain" else ["1.blocks.0"]
    assert set(names) <= set(droppable(module, architecture.example()))
    return drop_layers(module, names), architecture.with_edits({"edit": "drop_layers", "names": names})


def factorised(module: nn.Module, architecture: Architecture) -> Made:
    ranks = ranks_for(module, architecture.example(), 0.5)
    return low_rank(module, ranks), architecture.with_edits({"edit": "factorise", "ranks": ranks})


def folded(module: nn.Module, architecture: Architecture) -> Made:
    whole = fold_batch_norm(fold_pixel_scale(module))
    return whole, architecture.with_edits({"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"})


def quantized(module: nn.Module, architecture: Architecture) -> Made:
    whole, architecture = folded(module, architecture)
    edited = architecture.with_edits({"edit": "integer_weights", "bits": 8})
    return integer_weights(whole, 8), replace(edited, quantization=STATIC)


def ternary(module: nn.Module, architecture: Architecture) -> Made:
    whole, integer = quantized(module, architecture)
    edits = [*integer.edits[:-1], {"edit": "integer_weights", "bits": 2}]
    return integer_weights(dequantize(whole), 2), replace(integer, edits=tuple(edits))


def trained_to_four_bits(module: nn.Module, architecture: Architecture) -> Made:
    bits = bits_by_layer(module, 4)
    learned = settle_steps(learn_steps(module, bits))
    whole = store_trained_integers(fold_batch_norm(fold_pixel_scale(module)), bits, learned)
    edits = [{"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"}, integer_edit(whole, bits)]
    return whole, replace(architecture.with_edits(*edits), quantization=STATIC)


def pruned_and_quantized(module: nn.Module, architecture: Architecture) -> Made:
    return quantized(*structured(module, architecture))


@dataclass(frozen=True)
class Row:
    """What a method claims: which measure shrinks, and how many layers with weights change in each network."""

    method: Callable[[nn.Module, Architecture], Made]
    shrinks: str
    changes: dict[str, int]


ALL = {"digits": 2, "residual": 7, "separable": 11, "plain": 4, "attention": 14}
"""Convolutions and linear layers of each network."""
METHODS = {
    "unstructured": Row(unstructured, "nonzero", ALL),
    "pattern": Row(pattern, "nonzero", {**ALL, "plain": 4}),  # a row of one weight has no four
    "structured": Row(structured, "macs", ALL),
    "shallower": Row(shallower, "macs", {"residual": 2, "separable": 4, "plain": 1, "attention": 6}),
    "factorised": Row(factorised, "macs", {"digits": 2, "residual": 5, "separable": 3, "attention": 13}),
    "folded": Row(folded, "parameters", {"residual": 6, "separable": 10, "plain": 3}),
    "quantized": Row(quantized, "bytes", ALL),
    "pruned_and_quantized": Row(pruned_and_quantized, "bytes", ALL),
}
PAIRS = [(method, network) for method, row in METHODS.items() for network in row.changes]


def measures(module: nn.Module, architecture: Architecture) -> dict[str, int]:
    """What can shrink: multiply-accumulates, numbers, numbers that are not zero, bytes of the state."""
    macs, parameters = macs_and_parameters(module, architecture.example())
    stored = sum(tensor.nbytes for tensor in module.state_dict().values())
    return {"macs": macs, "parameters": parameters, "nonzero": parameters - zeros(module), "bytes": stored}


def changed(before: nn.Module, after: nn.Module) -> int:
    """Count the layers with weights that are gone, of another shape, or of other numbers."""
    left = {name: layer.weight for name, layer in prunable(after).items()}
    layers = prunable(before).items()
    return sum(name not in left or not torch.equal(layer.weight, left[name]) for name, layer in layers)


def images(architecture: Architecture, count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, *architecture.image_shape), generator=generator).float()


def trained(architecture: Architecture) -> nn.Module:
    """A network with batch statistics of its own, so that folding has something to fold."""
    module = architecture.build_seeded(1)
    module(images(architecture, 32))
    return module.eval()


@pytest.mark.parametrize(("method", "network"), PAIRS)
def test_a_compressed_model_is_saved_and_loaded_to_the_same_outputs(tmp_path: Path, method: str, network: str) -> None:
    """Surgery changes as many layers and shrinks what it claims; save and load give the same outputs to the bit."""
    row, original = METHODS[method], NETWORKS[network]
    module, architecture = row.method(trained(original), original)
    assert changed(trained(original), module) == row.changes[network]
    assert measures(module, original)[row.shrinks] < measures(trained(original), original)[row.shrinks]
    expected = module.eval()(images(architecture))
    save_model(tmp_path, module, architecture)
    loaded, same = load_model(tmp_path)
    assert same == architecture
    assert torch.equal(loaded(images(architecture)), expected)


def test_folding_keeps_the_function() -> None:
    """Folding batch norms and the pixel scale changes outputs by rounding only."""
    module = trained(RESIDUAL)
    expected = module(images(RESIDUAL))
    assert torch.allclose(fold_batch_norm(fold_pixel_scale(module))(images(RESIDUAL)), expected, atol=1e-5)


def test_integers_count_as_parameters() -> None:
    """An integer model has the parameters of the folded float model it came from."""
    whole, _ = quantized(trained(RESIDUAL), RESIDUAL)
    plain = fold_batch_norm(fold_pixel_scale(trained(RESIDUAL)))
    assert macs_and_parameters(whole, RESIDUAL.example())[1] == sum(p.numel() for p in plain.parameters())


@pytest.mark.parametrize(("hard_weight", "expected"), [(1.0, "hard"), (0.0, "soft"), (0.3, "both")])
def test_the_distillation_loss_is_the_articles(hard_weight: float, expected: str) -> None:
    """The loss is lambda * L_student + (1 - lambda) * T^2 * KL(teacher || student) at temperature T."""
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
    teacher = torch.tensor([[2.0, 1.0, 0.0], [0.5, 0.5, 2.0]])
    labels = torch.tensor([1, 2])
    hard = functional.cross_entropy(logits, labels)
    p, q = (teacher / 2).softmax(1), (logits / 2).softmax(1)
    soft = 4 * (p * (p / q).log()).sum(1).mean()
    values = {"hard": hard, "soft": soft, "both": 0.3 * hard + 0.7 * soft}
    assert distillation_loss(logits, teacher, labels, 2.0, hard_weight) == pytest.approx(float(values[expected]))


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    """A model whose weights file is cut short is refused in one sentence that names the folder."""
    save_model(tmp_path, trained(DIGITS), DIGITS)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"does not hold a whole model .* run the stage that makes it again"):
        load_model(tmp_path)


def test_an_unknown_network_is_named() -> None:
    """A network nobody knows is refused with the list of those that exist."""
    with pytest.raises(ModelError, match=r"there is no network 'vgg'; use one of attention, .*residual"):
        Architecture("vgg", {}, 1.0, (1, 8, 8)).build()
    with pytest.raises(ModelError, match=r"network 'residual' cannot be built .*mend its arguments"):
        Architecture("residual", {"width": 3}, 1.0, (1, 8, 8)).build()
