"""Integers: how weights become them, how they are trained, which layers get how many bits."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.quantization.learned_step import LearnedStep, learn_steps, settle_steps
from stillhouse.models.compression.quantization.mixed import cheapest_first, fewest_bits, layer_damages
from stillhouse.models.compression.quantization.overlap import refuse_overlap
from stillhouse.models.compression.quantization.quantize import (
    IntegerWeight,
    bits_by_layer,
    dequantize,
    integer_edit,
    integer_weights,
    quantizable,
    read_integers,
    store_trained_integers,
    with_whole_edges,
)
from stillhouse.models.compression.quantization.requantize import dequantize_for_edit, requantize
from stillhouse.models.compression.quantization.rounding import proportional, round_weight
from stillhouse.models.errors import ModelError
from stillhouse.models.training.checkpoint import WEIGHTS, Architecture, save_model

RESIDUAL = Architecture("residual", {"stem": 16, "widths": [16, 32], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28))
FOLDS = ({"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"})
STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}


def images(count: int = 4) -> Tensor:
    return torch.randint(0, 256, (count, 1, 28, 28), generator=torch.Generator().manual_seed(5)).float()


def trained() -> nn.Module:
    """A network whose batch norms have statistics of their own and gammas of both signs."""
    module = RESIDUAL.build_seeded(1)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, -1.0, 2.0)
    module(images(32))
    return module.eval()


def folded() -> nn.Module:
    return fold_batch_norm(fold_pixel_scale(trained()))


def integer() -> tuple[nn.Module, Architecture]:
    bits = {name: 4 for name in quantizable(folded()) if name != "1.head"}
    architecture = RESIDUAL.with_edits(*FOLDS, {"edit": "integer_weights", "bits": bits})
    return integer_weights(folded(), bits), architecture


def two_layers() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))


def test_integers_follow_the_articles_formula() -> None:
    """Stored integers are round(W / scale) and what is used is that times scale, per output channel."""
    weight = torch.tensor([[0.25, -0.63, 0.0], [1.26, 0.02, -0.04]])
    integers, scale = IntegerWeight(8).right_inverse(weight)
    assert integers.dtype == torch.int8
    assert integers.tolist() == [[25, -63, 0], [63, 1, -2]]
    assert scale.tolist() == pytest.approx([0.01, 0.02])
    assert torch.allclose(IntegerWeight(8)(integers, scale), weight)


def test_four_bits_clip_where_the_squared_error_is_least() -> None:
    """One weight of 1 and 98 of 0.09: the error (1-c)^2 + 98 (c/7-0.09)^2 is least at c = 0.7533, so at 0.76."""
    found = round_weight(torch.tensor([[1.0] + [0.09] * 98]), 4)
    assert found.scale_O.tolist() == pytest.approx([0.76 / 7])
    assert found.integers.tolist() == [[7] + [1] * 98]


def test_three_bits_take_seven_values() -> None:
    """Weights that are multiples of 1/3 of the largest become -3 to 3."""
    found = round_weight(torch.tensor([[-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0]]), 3)
    assert found.scale_O.tolist() == [1.0]
    assert found.integers.tolist() == [[-3, -2, -1, 0, 1, 2, 3]]


def test_ternary_weights_follow_the_paper() -> None:
    """Of 1, -0.5, 0.1 and 0.4 those over 0.7 * 0.5 keep their sign, and the scale is their mean 1.9 / 3."""
    found = round_weight(torch.tensor([[1.0, -0.5, 0.1, 0.4]]), 2)
    assert found.integers.tolist() == [[1, -1, 0, 1]]
    assert found.scale_O.tolist() == pytest.approx([1.9 / 3])


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_quantizing_twice_changes_nothing(bits: int) -> None:
    """The dequantized weights have exactly the integers they came from, also where a whole channel is zero."""
    weight = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    weight[3] = 0
    once, scale = IntegerWeight(bits).right_inverse(weight)
    twice, again = IntegerWeight(bits).right_inverse(IntegerWeight(bits)(once, scale))
    assert torch.equal(once, twice)
    assert torch.allclose(scale, again, rtol=1e-6)


def test_known_integers_get_the_scales_that_fit() -> None:
    """A channel times 0.5 has scale 0.5, times -0.25 flips its integers, times 0 loses them."""
    integers = torch.tensor([[1, -1], [0, 7], [1, 1], [0, 0]], dtype=torch.int8)
    found = proportional(integers * torch.tensor([[0.5], [-0.25], [0.0], [3.0]]), integers)
    assert found.integers.tolist() == [[1, -1], [0, -7], [0, 0], [0, 0]]
    assert found.scale_O.tolist() == [0.5, 0.25, 1.0, 1.0]


def test_integer_weights_take_a_quarter_of_the_bytes(tmp_path: Path) -> None:
    """A saved integer model is really stored as integers."""
    wide = Architecture("residual", {"stem": 64, "widths": [64, 128], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28))
    module = fold_batch_norm(fold_pixel_scale(wide.build_seeded(1)))
    save_model(tmp_path / "float", module, wide)
    save_model(tmp_path / "integer", integer_weights(module, 8), wide)
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("float", "integer")]
    assert sizes[0] / sizes[1] > 3.7


def test_dequantizing_keeps_the_function() -> None:
    """Replacing integers by the numbers they stand for changes no output, and the weights can be trained again."""
    module, _ = integer()
    expected = module(images())
    assert torch.equal(dequantize(module)(images()), expected)
    assert all(module.get_parameter(f"{name}.weight").requires_grad for name in quantizable(module))


def test_a_model_without_layers_cannot_be_quantized() -> None:
    """Quantizing a module without convolution or linear layer is an error that says so."""
    with pytest.raises(ModelError, match="changed no layer"):
        integer_weights(nn.Sequential(nn.ReLU()), 8)


def test_a_layer_to_keep_must_be_there() -> None:
    """An unknown name is refused with the names there are; a known one is left out and the edit says so."""
    with pytest.raises(ModelError, match=r"finds no layer 2 in this model; its layers are 0, 1"):
        bits_by_layer(two_layers(), 8, ["2"])
    chosen = bits_by_layer(two_layers(), 8, ["1"])
    assert integer_edit(two_layers(), chosen) == {"edit": "integer_weights", "bits": {"0": 8}}
    assert list(read_integers(integer_weights(two_layers(), chosen))) == ["0"]


def test_learned_steps_have_the_papers_gradients() -> None:
    """With step 0.5 and Q = 1 the step's gradient is (1-0.52) - 1 - 0.1 over sqrt(3), and clipped weights have none."""
    weight = torch.tensor([[0.26, -0.9, 0.05]], requires_grad=True)
    learned = LearnedStep(weight, 2)
    nn.init.constant_(learned.step_O, 0.5)
    assert learned(weight).tolist() == [[0.5, -0.5, 0.0]]
    learned(weight).sum().backward()
    assert learned.step_O.grad is not None
    assert learned.step_O.grad.tolist() == pytest.approx([(0.48 - 1 - 0.1) / math.sqrt(3)])
    assert weight.grad is not None
    assert weight.grad.tolist() == [[1.0, 0.0, 1.0]]


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_what_was_trained_is_what_is_stored(bits: int) -> None:
    """Folding batch norms and pixel scale after training changes signs and scales, but no integer's magnitude."""
    module = trained()
    chosen = bits_by_layer(module, bits)
    learn_steps(module, chosen)
    for name, parameter in module.named_parameters():
        if name.endswith("step_O"):
            parameter.data.mul_(1.1)
    expected = module(images())
    learned = settle_steps(module)
    whole = store_trained_integers(fold_batch_norm(fold_pixel_scale(module)), chosen, learned)
    assert {name: stored.integers.abs().tolist() for name, stored in read_integers(whole).items()} == {
        name: integers.abs().tolist() for name, integers in learned.items()
    }
    assert torch.allclose(whole(images()), expected, atol=1e-4)


def test_pruned_weights_stay_zero_in_training() -> None:
    """A weight that was zero before training is zero after it, whatever its gradient."""
    module = nn.Sequential(nn.Linear(4, 2))
    nn.init.constant_(module[0].weight, 0.5)
    module[0].weight.data[0, 1] = 0
    learn_steps(module, {"0": 4})
    module(torch.ones(1, 4)).sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is not None
        parameter.data -= 0.1 * parameter.grad
    integers = settle_steps(module)["0"]
    assert integers[0, 1] == 0
    assert module[0].weight[0, 1] == 0
    assert (integers == 0).sum() == 1


def test_bits_are_bought_where_a_byte_costs_least() -> None:
    """What costs nothing goes first, most bytes before fewer; then by damage per byte, 8 bits before 4, 4 before 2."""
    damages = {
        "a": {8: 0.0, 4: 0.01, 2: 0.1},
        "b": {8: 0.0, 4: 0.001, 2: 0.002},
        "c": {8: 0.02, 4: 0.02, 2: 0.02},
    }
    bought = cheapest_first(damages, {"a": 100, "b": 200, "c": 100})
    assert bought[:4] == [("b", 8), ("a", 8), ("b", 4), ("b", 2)]
    assert bought[4:] == [("c", 8), ("c", 4), ("c", 2), ("a", 4), ("a", 2)]


def test_damage_is_of_one_layer_and_leaves_it_whole() -> None:
    """The damage of a layer is the score lost with only that layer rounded, and the weights are as before after it."""
    module = two_layers()
    before = [parameter.clone() for parameter in module.parameters()]
    damages = layer_damages(module, ["1"], lambda changed: float(torch.equal(changed[1].weight, before[2])))
    assert damages == {"1": {8: 1.0, 4: 1.0, 2: 1.0}}
    assert all(map(torch.equal, module.parameters(), before))


def test_the_whole_stays_in_the_budget() -> None:
    """Where two layers rounded together cost too much, the last purchases are left out."""
    module, told = two_layers(), list[str]()
    before = [parameter.clone() for parameter in module.parameters()]

    def score(changed: nn.Module) -> float:
        alike = sum(torch.equal(changed[index].weight, before[2 * index]) for index in (0, 1))
        return 1.0 if alike else 0.9

    assert fewest_bits(module, ["0", "1"], score, 0.05, told.append) == {"0": 8}
    assert told[1] == "1: stays float; alone, 8 bits cost 0.00%, 4 bits cost 0.00%, 2 bits cost 0.00%"


def test_damages_that_are_noise_do_not_use_up_the_budget() -> None:
    """Layers that seem to cost the whole budget each are rounded, where all of them together cost no more."""
    module = two_layers()
    before = [parameter.clone() for parameter in module.parameters()]

    def score(changed: nn.Module) -> float:
        return 1.0 if all(torch.equal(changed[index].weight, before[2 * index]) for index in (0, 1)) else 0.96

    assert fewest_bits(module, ["0", "1"], score, 0.05, lambda _: None) == {"0": 2, "1": 2}


def test_a_reopened_model_is_quantized_as_before() -> None:
    """Making floats of integers changes no output, and quantizing again gives the same edits and integers."""
    module, before = integer()
    before = Architecture(**{**vars(before), "quantization": STATIC})
    expected, stored = module(images()), read_integers(module)
    opened, architecture = dequantize_for_edit(module, before)
    assert torch.equal(opened(images()), expected)
    assert (architecture.edits, architecture.quantization) == (FOLDS, None)
    again, after = requantize(opened, architecture, before)
    assert after.edits == before.edits
    assert after.quantization == {**STATIC, "keep_float": ["1.head"]}
    assert all(torch.equal(read_integers(again)[name].integers, stored[name].integers) for name in stored)


def test_a_judged_example_may_not_calibrate() -> None:
    """A calibration image that turns up in a judged split is refused with the split and the count."""
    pixels = np.arange(5 * 4, dtype=np.uint8).reshape(5, 1, 2, 2)
    refuse_overlap(pixels[:2], {"gate": pixels[2:]})
    with pytest.raises(ModelError, match="1 examples of split test are calibration examples too"):
        refuse_overlap(pixels[:2], {"gate": pixels[2:], "test": pixels[1:]})


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ({"stem": 4, "body": 4, "head": 4}, {"stem": 8, "body": 4, "head": 8}),
        ({"stem": 2, "a": 2, "b": 2, "head": 2}, {"stem": 8, "a": 2, "b": 2, "head": 8}),
        ({"conv": 4, "fc": 4}, {"conv": 4, "fc": 4}),
        ({"stem": 8, "body": 8, "head": 8}, {"stem": 8, "body": 8, "head": 8}),
    ],
)
def test_the_edges_of_a_network_keep_eight_bits(bits: dict[str, int], expected: dict[str, int]) -> None:
    """The first and the last layer have 8 bits unless nothing lies between them."""
    assert with_whole_edges(bits) == expected
