"""What ships: the ONNX file says what the module says, and holds the integers that were stored."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported_graphs import dequantized_weights
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.quantization.quantize import (
    bits_by_layer,
    integer_weights,
    quantizable,
    read_integers,
)
from stillhouse.models.errors import ModelError
from stillhouse.models.measurement.latency import Schedule, compare
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.training.checkpoint import Architecture

STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}
ARCHITECTURE = Architecture(
    "residual", {"stem": 16, "widths": [16, 32], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28)
)
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)


INTEGERS = {TensorProto.INT8, TensorProto.INT4, TensorProto.INT2}


def network() -> torch.nn.Module:
    module = ARCHITECTURE.build_seeded(2)
    module(torch.from_numpy(IMAGES))
    return module.eval()


def integer_network(
    bits: int = 8, keep_float: Sequence[str] = (), **how: object
) -> tuple[torch.nn.Module, Architecture]:
    module = fold_batch_norm(fold_pixel_scale(network()))
    integer_weights(module, bits_by_layer(module, bits, keep_float))
    return module, replace(ARCHITECTURE, quantization={**STATIC, "keep_float": list(keep_float), **how})


def shipped_integers(path: Path) -> list[NDArray[np.int8]]:
    """All weights of a file, whatever type packs them."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    plain = [tensors[tensor.name].astype(np.int8) for tensor in graph.initializer if tensor.data_type in INTEGERS]
    return plain + [multiplied(node, tensors[node.input[1]]) for node in graph.node if node.op_type == "MatMulNBits"]


def multiplied(node: onnx.NodeProto, bytes_OBJ: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Integers (O, I) of 4 or 8 bits that `MatMulNBits` multiplies: half the range stands for 0, the low half first."""
    has = {attribute.name: attribute.i for attribute in node.attribute}
    values_OI = bytes_OBJ.reshape(has["N"], -1).astype(np.int16)
    if has["bits"] == 4:
        values_OI = np.stack([values_OI & 15, values_OI >> 4], axis=2).reshape(has["N"], -1)
    return (values_OI[:, : has["K"]] - (1 << (has["bits"] - 1))).astype(np.int8)


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


Exported = Callable[[int, str], Path]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Export the integer network, once for all tests that ask for the same."""
    folder = tmp_path_factory.mktemp("export")

    @cache
    def export(bits: int, activations: str) -> Path:
        path = folder / f"{activations}{bits}.onnx"
        export_model(*integer_network(bits, activations=activations), IMAGES, path)
        return path

    return export


@pytest.fixture
def integer_file(exported: Exported) -> Path:
    """The int8 file with calibrated activations."""
    return exported(8, "static")


def test_a_float_file_answers_as_the_module(tmp_path: Path) -> None:
    """The fp32 file gives the module's logits for raw bytes, at any batch size."""
    export_model(network(), ARCHITECTURE, IMAGES, tmp_path / "float.onnx")
    expected = network()(torch.from_numpy(IMAGES)).detach().numpy()
    session = open_session(tmp_path / "float.onnx")
    assert np.allclose(predict(session, IMAGES, batch_size=64), expected, atol=1e-4)
    assert np.allclose(predict(session, IMAGES, batch_size=1), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("bits", "activations", "tolerance"),
    [
        (8, "static", 0.05),
        (4, "static", 0.05),
        (3, "static", 0.05),
        (2, "static", 0.05),
        (4, "dynamic", 0.02),
        (8, "float", 1e-5),
        (4, "float", 1e-5),
        (3, "float", 1e-5),
        (2, "float", 1e-5),
    ],
)
def test_an_integer_file_holds_the_stored_integers(
    exported: Exported, bits: int, activations: str, tolerance: float
) -> None:
    """Every weight stored in the checkpoint stands in the file, integer for integer, and answers as the module."""
    module, _ = integer_network(bits)
    stored = [layer.integers.numpy() for layer in read_integers(module).values()]
    shipped = shipped_integers(exported(bits, activations))
    assert len(stored) == 7
    for weight in stored:
        assert any(np.array_equal(weight, other) or np.array_equal(weight.T, other) for other in shipped)
    expected = module(torch.from_numpy(IMAGES)).detach().numpy()
    found = predict(open_session(exported(bits, activations)), IMAGES)
    assert np.abs(found - expected).max() < tolerance * np.ptp(expected)


def test_an_integer_file_computes_with_integers(integer_file: Path) -> None:
    """From the raw bytes to the last layer there is no float operator left but the final dequantization."""
    found = operators(integer_file)
    assert {"Conv", "Gemm", "QuantizeLinear", "Cast", "Mul", "Div"}.isdisjoint(found)
    assert found.count("DequantizeLinear") == 1


@pytest.mark.parametrize("activations", ["static", "dynamic", "float"])
@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_no_weight_is_dequantized_at_every_call(exported: Exported, bits: int, activations: str) -> None:
    """Under the runtime's default options a stored integer weight costs nothing beside its product."""
    assert not dequantized_weights(onnx.load(exported(bits, activations)))


def test_fewer_bits_make_a_smaller_file_where_only_weights_are_integers(exported: Exported) -> None:
    """Weights alone: int4 packs two to a byte and ternary four, so the tensors shrink to a half and a quarter."""
    sizes = {}
    for bits in (8, 4, 2):
        tensors = onnx.load(exported(bits, "float")).graph.initializer
        sizes[bits] = sum(len(tensor.raw_data) for tensor in tensors if tensor.data_type in INTEGERS)
    weights = sum(layer.integers.numel() for layer in read_integers(integer_network()[0]).values())
    assert sizes == {8: weights, 4: weights // 2, 2: weights // 4}


def test_a_layer_kept_float_computes_in_floats(tmp_path: Path) -> None:
    """A layer of keep_float is the one convolution left, and has its float weight; an unknown one is refused."""
    export_model(*integer_network(keep_float=["1.blocks.0.conv1"]), IMAGES, tmp_path / "kept.onnx")
    found = operators(tmp_path / "kept.onnx")
    assert (found.count("Conv"), found.count("QLinearConv")) == (1, 5)
    module, architecture = integer_network()
    wrong = replace(architecture, quantization={**STATIC, "keep_float": ["1.conv"]})
    with pytest.raises(ModelError, match=r"finds no layer 1\.conv in this model; its layers are 1\.stem\.0, .*1\.head"):
        export_model(module, wrong, IMAGES, tmp_path / "wrong.onnx")


def test_a_layer_of_float_inputs_multiplies_floats_by_stored_integers(tmp_path: Path) -> None:
    """The layer is the one float convolution, its integers are in the file, and the file is nearer to its module."""
    module, architecture = integer_network(float_inputs=["1.blocks.0.conv1"])
    integers = read_integers(module)["1.blocks.0.conv1"].integers.numpy()
    export_model(module, architecture, IMAGES, tmp_path / "inputs.onnx")
    found = operators(tmp_path / "inputs.onnx")
    assert (found.count("Conv"), found.count("QLinearConv")) == (1, 5)
    assert any(np.array_equal(integers, each) for each in shipped_integers(tmp_path / "inputs.onnx"))
    assert not dequantized_weights(onnx.load(tmp_path / "inputs.onnx"))
    expected = module(torch.from_numpy(IMAGES)).detach().numpy()
    export_model(*integer_network(), IMAGES, tmp_path / "all.onnx")
    errors = [
        np.abs(predict(open_session(tmp_path / f"{name}.onnx"), IMAGES) - expected).mean() for name in ("inputs", "all")
    ]
    assert errors[0] < errors[1]


def test_a_channel_without_weights_still_has_its_bias(tmp_path: Path) -> None:
    """Where a channel's integers are all zero, and where they are tiny beside its bias, the file gives the bias."""
    module, architecture = integer_network(4)
    head = module.get_submodule("1.head")
    head.bias.data.fill_(0.0)
    head.bias.data[:2] = 5.0
    head.parametrizations.weight.original0[0] = 0
    head.parametrizations.weight.original1.data[1] = 1e-12
    export_model(module, architecture, IMAGES, tmp_path / "dead.onnx")
    logits_NK = predict(open_session(tmp_path / "dead.onnx"), IMAGES)
    assert np.allclose(logits_NK[:, :2], 5.0, atol=0.05)


@pytest.mark.parametrize("activations", ["static", "dynamic", "float"])
def test_two_layers_of_equal_weights_share_one_tensor(tmp_path: Path, activations: str) -> None:
    """Equal weights of two layers are written once, and the file still answers as its module."""
    twice = Architecture("residual", {"stem": 8, "widths": [8, 8], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28))
    module = fold_batch_norm(fold_pixel_scale(twice.build_seeded(2).eval()))
    first, second = (module.get_submodule(f"1.blocks.{number}.conv2") for number in range(2))
    second.weight.data.copy_(first.weight)
    integer_weights(module, bits_by_layer(module, 8))
    architecture = replace(twice, quantization={**STATIC, "activations": activations})
    export_model(module, architecture, IMAGES, tmp_path / "equal.onnx")
    answers = predict(open_session(tmp_path / "equal.onnx"), IMAGES)
    assert np.corrcoef(answers.ravel(), module(torch.from_numpy(IMAGES)).detach().numpy().ravel())[0, 1] > 0.99


def test_the_largest_products_are_added_without_saturating(tmp_path: Path) -> None:
    """Whatever the processor, weights that are all the largest answer to white pixels as they do in floats."""
    module, architecture = fold_batch_norm(fold_pixel_scale(network())), replace(ARCHITECTURE, quantization=STATIC)
    for name in quantizable(module):
        weight = module.get_parameter(f"{name}.weight")
        weight.data.fill_(0.01)
    integer_weights(module)
    white = np.full((1, 1, 28, 28), 255, np.uint8)
    expected = module(torch.from_numpy(white).float()).detach().numpy()
    export_model(module, architecture, np.concatenate([white, white // 2]), tmp_path / "largest.onnx")
    assert np.allclose(predict(open_session(tmp_path / "largest.onnx"), white), expected, rtol=0.03)


@pytest.mark.parametrize("calibration", ["entropy", "percentile"])
def test_a_calibration_is_a_choice(tmp_path: Path, integer_file: Path, calibration: str) -> None:
    """Histograms choose other scales than the extremes, of however many examples, and keep the answers close."""
    many = np.concatenate([IMAGES, IMAGES, IMAGES[:2]])
    export_model(*integer_network(calibration=calibration), many, tmp_path / "chosen.onnx")
    found, extremes = (predict(open_session(path), IMAGES) for path in (tmp_path / "chosen.onnx", integer_file))
    assert not np.array_equal(found, extremes)
    assert np.abs(found - extremes).max() < 0.1 * np.ptp(extremes)


def test_an_operator_without_an_onnx_form_is_named(tmp_path: Path) -> None:
    """A network that ONNX cannot express is refused by the name of the operator."""

    class Odd(torch.nn.Module):
        def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(images_NCHW.float())

    with pytest.raises(ModelError, match=r"operator prims\.bessel_j0"):
        export_model(Odd(), ARCHITECTURE, IMAGES, tmp_path / "odd.onnx")


def test_an_integer_file_stays_close_to_its_module(integer_file: Path) -> None:
    """Integer activations move logits by a few hundredths of their range."""
    expected = integer_network()[0](torch.from_numpy(IMAGES)).detach().numpy()
    found = predict(open_session(integer_file), IMAGES)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def test_a_file_tells_nothing_of_its_maker(integer_file: Path) -> None:
    """The file holds no path of the machine that made it, and no name longer than its input's."""
    assert str(Path(__file__).resolve().parent.parent).encode() not in integer_file.read_bytes()
    graph = onnx.load(integer_file).graph
    assert max(len(tensor.name) for tensor in graph.initializer) <= 3


def test_a_subnormal_weight_ships_as_zero(tmp_path: Path) -> None:
    """A weight too small for full precision, which a processor multiplies very slowly, is 0 in the file."""
    module = network()
    module[1].head.weight.data[:, ::2] = 1e-40
    export_model(module, ARCHITECTURE, IMAGES, tmp_path / "tiny.onnx")
    tensors = [numpy_helper.to_array(tensor) for tensor in onnx.load(tmp_path / "tiny.onnx").graph.initializer]
    floats = np.concatenate([np.abs(tensor).ravel() for tensor in tensors if tensor.dtype == np.float32])
    assert not ((floats > 0) & (floats < np.finfo(np.float32).tiny)).any()
    expected = module(torch.from_numpy(IMAGES)).detach().numpy()
    assert np.allclose(predict(open_session(tmp_path / "tiny.onnx"), IMAGES), expected, atol=1e-4)


def test_an_answer_that_is_no_number_is_refused(tmp_path: Path) -> None:
    """A file that answers NaN raises instead of being scored."""
    module = network()
    torch.nn.init.constant_(module[1].head.bias, float("nan"))
    export_model(module, ARCHITECTURE, IMAGES, tmp_path / "nan.onnx")
    with pytest.raises(ModelError, match="answered with NaN or infinity"):
        predict(open_session(tmp_path / "nan.onnx"), IMAGES)


def test_timing_goes_on_while_it_is_undecided(integer_file: Path) -> None:
    """A file against itself straddles the limit 1, so timing uses all its repeats; a far limit needs the least."""
    near = compare(integer_file, integer_file, IMAGES[:1], Schedule(3, 5, 10, 0.0, 0.999999, 1.0))
    far = compare(integer_file, integer_file, IMAGES[:1], Schedule(3, 5, 10, 0.0, 0.9, 1000.0))
    assert (len(near.ratios), len(far.ratios)) == (5, 3)
    assert near.interval[0] <= near.ratio <= near.interval[1]
