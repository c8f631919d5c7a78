"""A shipped file in plain operators, for other runtimes: the same integers, the same answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from encoder_folders import write_encoder
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from text_samples import sentences

from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.quantization.quantize import integer_weights
from stillhouse.models.compression.quantization.rounding import Stored
from stillhouse.models.errors import ModelError
from stillhouse.models.families.bert import adopt_bert
from stillhouse.models.inspection.source import find_source
from stillhouse.models.onnx.export import export_model
from stillhouse.models.onnx.passes.few_bit_products import multiply_few_bits, pack
from stillhouse.models.onnx.passes.integer_graph import find_weight
from stillhouse.models.onnx.plain.integer_weights import unpack
from stillhouse.models.onnx.plain.read import expect_narrow_integers, read_plain
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.training.checkpoint import Architecture

STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}
NETWORKS = {
    "plain": {"widths": [16, 32], "strides": [2, 1], "pool": 4},
    "residual": {"stem": 16, "widths": [16, 32], "strides": [1, 2]},
}


def run(model: ModelProto, raw: NDArray[np.generic]) -> NDArray[np.float32]:
    """Answer in ONNX Runtime."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {session.get_inputs()[0].name: raw})[0]
    return found


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("packing", [None, "lzma"])
def test_a_classifier_in_int8_is_the_same_in_pairs(tmp_path: Path, name: str, packing: str | None) -> None:
    """Each integer operator is DequantizeLinear, the float operator, QuantizeLinear; the weights stay int8."""
    architecture = Architecture(name, NETWORKS[name], 255.0, (1, 8, 8))
    architecture = replace(architecture, quantization=STATIC, packing=packing)
    images_NCHW = np.random.default_rng(1).integers(0, 256, (50, 1, 8, 8), np.uint8)
    module = fold_batch_norm(fold_pixel_scale(architecture.build_seeded(2).eval()))
    export_model(module, architecture, images_NCHW, tmp_path / "m.onnx")
    (shipped,) = tmp_path.glob("m.onnx*")
    found = read_plain(shipped)
    assert {node.domain for node in found.graph.node} == {""}
    assert not [node.op_type for node in found.graph.node if node.op_type.startswith("QL")]
    assert {TensorProto.INT8} <= {tensor.data_type for tensor in found.graph.initializer}
    expected_NK = predict(open_session(shipped), images_NCHW)
    assert np.abs(run(found, images_NCHW) - expected_NK).max() < 1e-3 * np.abs(expected_NK).max()


@pytest.mark.parametrize(("bits", "kind"), [(8, TensorProto.INT8), (4, TensorProto.INT4)])
def test_a_text_encoder_in_integers_has_integer_weights_for_float_products(
    tmp_path: Path, bits: int, kind: int
) -> None:
    """The products no longer round their input, so the vectors are those of the module; the table stays small."""
    adopted = adopt_bert(find_source(write_encoder(tmp_path / "bert", sentences(60))))
    module = integer_weights(adopted.module, bits)
    ids_NT = torch.tensor([[2, 9, 11, 30, 3], [2, 40, 7, 21, 3]])
    with torch.no_grad():
        expected_ND = module(ids_NT).numpy()
    how = {"activations": "dynamic", "calibration": "minmax", "keep_float": []}
    path = tmp_path / "m.onnx"
    export_model(module, replace(adopted.architecture, quantization=how), ids_NT.numpy(), path)
    found = read_plain(path)
    assert not {"MatMulInteger", "DynamicQuantizeLinear", "GatherBlockQuantized"} & {
        n.op_type for n in found.graph.node
    }
    assert kind in {tensor.data_type for tensor in found.graph.initializer}
    assert (run(found, ids_NT.numpy()) * expected_ND).sum(1).min() > 0.9999


@pytest.mark.parametrize("bits", [4, 8])
def test_unpacked_integers_are_those_that_were_packed(bits: int) -> None:
    """Both halves of a byte come back with their sign."""
    limit = 1 << (bits - 1)
    integers_OI = np.random.default_rng(0).integers(-limit + 1, limit, (3, 128)).astype(np.int8)
    assert (unpack(pack(integers_OI, bits, 128), bits) == integers_OI).all()


def few_bits(path: Path) -> tuple[ModelProto, NDArray[np.float32], NDArray[np.float32]]:
    """Write a linear layer of 4 bits with a bias. Returns the model, its float weight (O, I) and its bias."""
    random = np.random.default_rng(0)
    integers_OI, scale_O = random.integers(-7, 8, (96, 200)).astype(np.int8), random.random(96).astype(np.float32)
    weight_OI, bias_O = integers_OI * scale_O[:, None], random.random(96).astype(np.float32)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])
        for name, size in (("x", 200), ("y", 96))
    ]
    tensors = [numpy_helper.from_array(weight_OI, "w"), numpy_helper.from_array(bias_O, "b")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", ends[:1], ends[1:], tensors), opset_imports=[helper.make_opsetid("", 20)]
    )
    model.ir_version = 10
    stored = Stored(torch.from_numpy(integers_OI), torch.from_numpy(scale_O))
    multiply_few_bits(model, find_weight(model, "w", weight_OI), stored)
    onnx.save(model, path)
    return model, weight_OI, bias_O


def test_a_product_of_few_bits_is_a_float_product_of_few_bits(tmp_path: Path) -> None:
    """`MatMulNBits` becomes int4 weights times their scales, and the bias is added."""
    _, weight_OI, bias_O = few_bits(tmp_path / "m.onnx")
    found = read_plain(tmp_path / "m.onnx")
    inputs_NI = np.random.default_rng(1).normal(size=(3, 200)).astype(np.float32)
    assert [node.op_type for node in found.graph.node] == ["DequantizeLinear", "MatMul", "Add"]
    expected_NO = inputs_NI @ weight_OI.T + bias_O
    assert np.abs(run(found, inputs_NI) - expected_NO).max() < 0.02 * np.abs(expected_NO).max()  # the runtime rounds


def test_a_scale_for_each_block_is_refused(tmp_path: Path) -> None:
    """The sentence names the operator and the remedy."""
    model, _, _ = few_bits(tmp_path / "m.onnx")
    scales = next(tensor for tensor in model.graph.initializer if tensor.name == "w_scale")
    values_OB = numpy_helper.to_array(scales).reshape(96, -1).copy()
    values_OB[0, 0] += 1
    scales.CopyFrom(numpy_helper.from_array(values_OB, "w_scale"))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="MatMulNBits with a scale for each block has no plain form here; quantize by"):
        read_plain(tmp_path / "m.onnx")


def test_an_operator_of_the_runtime_alone_is_refused(tmp_path: Path) -> None:
    """The sentence names it."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("FastGelu", ["x"], ["y"], domain="com.microsoft")], "g", ends[:1], ends[1:]
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"own operators without a plain form here \(FastGelu\); keep it in"):
        read_plain(tmp_path / "m.onnx")


def test_hashing_is_refused_where_integers_have_32_bits(tmp_path: Path) -> None:
    """The text encoder of retrieval multiplies code points by numbers of 31 bits."""
    arguments = {"buckets": 97, "width": 8, "hidden": 8, "dimension": 16}
    architecture = Architecture("ngram_encoder", arguments, 1.0, ())
    codes_NL = np.full((2, 8), 97, np.int64)
    export_model(architecture.build_seeded(1).eval(), architecture, codes_NL, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="the model hashes texts with integers of 64 bits, and OpenVINO computes with"):
        expect_narrow_integers(read_plain(tmp_path / "m.onnx"), "OpenVINO")
