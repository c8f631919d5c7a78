"""Operators of a shipped file that take the place of slower ones: products of few bits, and patches in longer runs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from stillhouse.models.compression.quantization.rounding import Stored
from stillhouse.models.onnx.passes.few_bit_products import BLOCK, is_linear, multiply_few_bits
from stillhouse.models.onnx.passes.integer_graph import Place
from stillhouse.models.onnx.passes.patchify import widen_patches
from stillhouse.models.runtime.session import open_session, predict

RANDOM = np.random.default_rng(17)


Sizes = tuple[list[int | str], list[int | str]]


def saved(nodes: list[onnx.NodeProto], sizes: Sizes, **tensors: NDArray[np.generic]) -> ModelProto:
    """Make a graph from x to y."""
    kind = TensorProto.UINT8 if "zero" in tensors else TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, size) for name, size in zip("xy", sizes, strict=True)]
    weights = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answers(model: ModelProto, inputs: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    onnx.save(model, path)
    return predict(open_session(path), inputs)


@pytest.mark.parametrize("largest", [1, 7, 127])
@pytest.mark.parametrize("inputs", [16, BLOCK, 200])
@pytest.mark.parametrize("operator", ["Gemm", "MatMul"])
def test_a_product_of_few_bits_is_the_product(tmp_path: Path, largest: int, inputs: int, operator: str) -> None:
    """A linear layer of integers answers as in floats, to the 8 bits of its input, bias and all, whatever its width."""
    integers_OI = RANDOM.integers(-largest, largest + 1, (24, inputs)).astype(np.int8)
    scale_O, bias_O = RANDOM.uniform(0.01, 0.1, 24).astype(np.float32), RANDOM.normal(size=24).astype(np.float32)
    weights_OI = integers_OI * scale_O[:, None]
    gemm = operator == "Gemm"
    node = helper.make_node(operator, ["x", "w", *(["b"] if gemm else [])], ["y"], **({"transB": 1} if gemm else {}))
    model = saved([node], (["n", inputs], ["n", 24]), w=weights_OI if gemm else weights_OI.T.copy(), b=bias_O)
    given_NI = RANDOM.normal(size=(5, inputs)).astype(np.float32)
    expected_NO = given_NI @ weights_OI.T + (bias_O if gemm else 0)
    place = Place("w", transposed=not gemm)
    assert is_linear(model, place)
    multiply_few_bits(model, place, Stored(torch.from_numpy(integers_OI), torch.from_numpy(scale_O)))
    assert [node.op_type for node in model.graph.node] == ["MatMulNBits"]
    found_NO = answers(model, given_NI, tmp_path / "product.onnx")
    assert np.abs(found_NO - expected_NO).max() < 0.02 * np.ptp(expected_NO)


def test_a_table_is_no_linear_layer() -> None:
    """A weight whose rows are looked up is not multiplied."""
    node = helper.make_node("Gather", ["w", "x"], ["y"])
    assert not is_linear(saved([node], (["n"], ["n", 8]), w=np.ones((4, 8), np.float32)), Place("w", transposed=False))


def patches(kernel: tuple[int, int], strides: tuple[int, int], channels: int, pads: int = 0) -> ModelProto:
    """An integer convolution over 8 x 12 pixels."""
    node = helper.make_node(
        "QLinearConv",
        ["x", "scale", "zero", "w", "scale", "none", "scale", "zero"],
        ["y"],
        kernel_shape=kernel,
        strides=strides,
        pads=[pads] * 4,
    )
    weights = RANDOM.integers(-20, 21, (16, channels, *kernel)).astype(np.int8)
    scale = np.array(0.05, np.float32)
    sizes = (["n", channels, 8, 12], ["n", 16, "h", "w"])
    return saved([node], sizes, w=weights, scale=scale, zero=np.array(128, np.uint8), none=np.array(0, np.int8))


@pytest.mark.parametrize(("kernel", "channels"), [((4, 4), 3), ((2, 3), 1), ((1, 2), 4)])
def test_patches_in_longer_runs_give_the_same_answers(tmp_path: Path, kernel: tuple[int, int], channels: int) -> None:
    """A convolution that cuts patches becomes one of more channels, 1 wide, and not a bit of its answers changes."""
    model = patches(kernel, kernel, channels)
    pixels_NCHW = RANDOM.integers(0, 256, (3, channels, 8, 12)).astype(np.uint8)
    expected = answers(model, pixels_NCHW, tmp_path / "patches.onnx")
    widen_patches(model)
    assert list(model.graph.initializer[0].dims) == [16, channels * kernel[1], kernel[0], 1]
    assert np.array_equal(answers(model, pixels_NCHW, tmp_path / "runs.onnx"), expected)
    assert np.ptp(expected) > 50


@pytest.mark.parametrize(
    "model",
    [
        patches((3, 3), (2, 2), 3),
        patches((4, 4), (4, 4), 3, pads=2),
        patches((4, 4), (4, 4), 16),
        patches((3, 3), (3, 3), 3),
    ],
    ids=["overlapping", "padded", "of many channels", "that leave pixels over"],
)
def test_other_convolutions_stay(model: ModelProto) -> None:
    """Patches that overlap, are padded, have many channels or leave pixels over are cut as they were."""
    before = model.SerializeToString()
    widen_patches(model)
    assert model.SerializeToString() == before
