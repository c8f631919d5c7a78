"""Every method on every network it fits: applied, still a model, smaller as claimed, saved and loaded the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import WEIGHTS, Architecture, load_model, save_model
from models.compression.distil import distillation_loss
from models.compression.edits import layer_sizes
from models.compression.fold import fold_batch_norm, fold_pixel_scale
from models.compression.prune import IMPORTANCES, macs_and_parameters, prune_channels, prune_global_l1, zeros
from models.compression.quantize import IntegerWeight, dequantized, integer_weights
from models.errors import ModelError

STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}
DIGITS = Architecture("multimodal_small_model", {"channels": 16}, 6.0, (1, 8, 8))
RESIDUAL = Architecture("residual", {"stem": 16, "widths": [16, 32], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28))
NETWORKS = {"digits": DIGITS, "residual": RESIDUAL}
Made = tuple[nn.Module, Architecture]


def unstructured(module: nn.Module, architecture: Architecture) -> Made:
    prune_global_l1(module, 0.5)
    return module, architecture


def structured(module: nn.Module, architecture: Architecture) -> Made:
    importance = IMPORTANCES["magnitude"]()
    pruned = prune_channels(module, architecture.example(), 0.7, importance=importance, round_to=4)
    return pruned, architecture.edited({"edit": "resize", "sizes": layer_sizes(pruned)})


def folded(module: nn.Module, architecture: Architecture) -> Made:
    return fold_batch_norm(module), architecture.edited({"edit": "fold_batch_norm"})


def quantized(module: nn.Module, architecture: Architecture) -> Made:
    whole = integer_weights(fold_batch_norm(fold_pixel_scale(module)), 8)
    edits = [{"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"}, {"edit": "integer_weights", "bits": 8}]
    return whole, replace(architecture.edited(*edits), quantization=STATIC)


def pruned_and_quantized(module: nn.Module, architecture: Architecture) -> Made:
    return quantized(*structured(module, architecture))


METHODS: dict[str, Callable[[nn.Module, Architecture], Made]] = {
    "unstructured": unstructured,
    "structured": structured,
    "folded": folded,
    "quantized": quantized,
    "pruned_and_quantized": pruned_and_quantized,
}


def images(architecture: Architecture, count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, *architecture.image_shape), generator=generator).float()


def trained(architecture: Architecture) -> nn.Module:
    """A network with batch statistics of its own, so that folding has something to fold."""
    module = architecture.build_seeded(1)
    module(images(architecture, 32))
    return module.eval()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_compressed_model_is_saved_and_loaded_to_the_same_outputs(tmp_path: Path, method: str, network: str) -> None:
    """Surgery, save and load give the module back: same outputs to the bit."""
    module, architecture = METHODS[method](trained(NETWORKS[network]), NETWORKS[network])
    expected = module.eval()(images(architecture))
    save_model(tmp_path, module, architecture)
    loaded, same = load_model(tmp_path)
    assert same == architecture
    assert torch.equal(loaded(images(architecture)), expected)


def test_half_of_all_weights_become_zero() -> None:
    """Global L1 pruning zeroes the smallest half over all layers and leaves no mask behind."""
    module = trained(DIGITS)
    total = sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear))
    kept = torch.cat([p.abs().flatten() for n, p in module.named_parameters() if n.endswith("weight")]).median()
    assert prune_global_l1(module, 0.5) == zeros(module) == total // 2
    assert not [name for name, _ in module.named_buffers() if "mask" in name]
    smallest = min(float(p.detach()[p != 0].abs().min()) for n, p in module.named_parameters() if n.endswith("weight"))
    assert smallest >= float(kept.detach())


def test_pruned_channels_are_gone() -> None:
    """Structured pruning meets its target in multiply-accumulates and keeps the outputs' number."""
    module = trained(RESIDUAL)
    before, _ = macs_and_parameters(module, RESIDUAL.example())
    pruned, _ = structured(module, RESIDUAL)
    after, _ = macs_and_parameters(pruned, RESIDUAL.example())
    assert after <= 0.7 * before
    assert pruned(images(RESIDUAL)).shape == (4, 10)
    assert macs_and_parameters(module, RESIDUAL.example())[0] == before


def test_an_impossible_pruning_target_names_the_nearest() -> None:
    """A share of multiply-accumulates that rounding forbids is refused with the nearest that can be had."""
    with pytest.raises(ModelError, match=r"cannot reach 1% .* multiples of 16; the nearest is \d+%: raise macs"):
        prune_channels(trained(RESIDUAL), RESIDUAL.example(), 0.01, importance=IMPORTANCES["magnitude"](), round_to=16)


def test_pruning_that_changes_nothing_is_an_error() -> None:
    """Surgery without an effect is refused instead of passed on as success."""
    module = trained(DIGITS)
    prune_global_l1(module, 0.5)
    with pytest.raises(ModelError, match="changed no weight"):
        prune_global_l1(module, 0.5)


def test_integers_follow_the_articles_formula() -> None:
    """Stored integers are round(W / scale) and what is used is that times scale, per output channel."""
    weight = torch.tensor([[0.5, -1.27, 0.0], [2.54, 0.02, -0.04]])
    integers, scale = IntegerWeight(8).right_inverse(weight)
    assert integers.dtype == torch.int8
    assert integers.tolist() == [[50, -127, 0], [127, 1, -2]]
    assert scale.tolist() == pytest.approx([0.01, 0.02])
    assert torch.allclose(IntegerWeight(8)(integers, scale), torch.tensor([[0.5, -1.27, 0.0], [2.54, 0.02, -0.04]]))


def test_quantizing_twice_changes_nothing() -> None:
    """The dequantized weights have exactly the integers they came from, also where a whole channel is zero."""
    weight = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    once, scale = IntegerWeight(8).right_inverse(weight)
    twice, again = IntegerWeight(8).right_inverse(IntegerWeight(8)(once, scale))
    assert torch.equal(once, twice)
    assert torch.equal(scale, again)


def test_integer_weights_take_a_quarter_of_the_bytes(tmp_path: Path) -> None:
    """A saved integer model is really stored as integers."""
    wide = Architecture("residual", {"stem": 64, "widths": [64, 128], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28))
    save_model(tmp_path / "float", *folded(trained(wide), wide))
    save_model(tmp_path / "integer", *quantized(trained(wide), wide))
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("float", "integer")]
    assert sizes[0] / sizes[1] > 3.7


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


def test_dequantizing_keeps_the_function() -> None:
    """Replacing integers by the numbers they stand for changes no output."""
    module, architecture = quantized(trained(DIGITS), DIGITS)
    expected = module(images(architecture))
    assert torch.equal(dequantized(module)(images(architecture)), expected)


def test_a_model_without_layers_cannot_be_quantized() -> None:
    """Quantizing a module without convolution or linear layer is an error that says so."""
    with pytest.raises(ModelError, match="changed no layer"):
        integer_weights(nn.Sequential(nn.ReLU()), 8)


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
    with pytest.raises(ModelError, match=r"there is no network 'vgg'; use one of multimodal_big_model, .*residual"):
        Architecture("vgg", {}, 1.0, (1, 8, 8)).build()
    with pytest.raises(ModelError, match=r"network 'residual' cannot be built .*mend its arguments"):
        Architecture("residual", {"width": 3}, 1.0, (1, 8, 8)).build()
