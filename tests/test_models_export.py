"""What ships: the ONNX file says what the module says, and holds the integers that were stored."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from models.checkpoint import Architecture
from models.compression.fold import fold_batch_norm, fold_pixel_scale
from models.compression.quantize import integer_weights
from models.errors import ModelError
from models.export import export_model
from models.footprint import Schedule, compare
from models.runtime import open_session, predict

STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}
ARCHITECTURE = Architecture(
    "residual", {"stem": 16, "widths": [16, 32], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28)
)
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)


def network() -> torch.nn.Module:
    module = ARCHITECTURE.build_seeded(2)
    module(torch.from_numpy(IMAGES))
    return module.eval()


def integer_network() -> tuple[torch.nn.Module, Architecture]:
    module = integer_weights(fold_batch_norm(fold_pixel_scale(network())), 8)
    return module, replace(ARCHITECTURE, quantization=STATIC)


@pytest.fixture(scope="module")
def integer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the integer network once."""
    path = tmp_path_factory.mktemp("export") / "integer.onnx"
    export_model(*integer_network(), IMAGES, path)
    return path


def test_a_float_file_answers_as_the_module(tmp_path: Path) -> None:
    """The fp32 file gives the module's logits for raw bytes, at any batch size."""
    export_model(network(), ARCHITECTURE, IMAGES, tmp_path / "float.onnx")
    expected = network()(torch.from_numpy(IMAGES)).detach().numpy()
    session = open_session(tmp_path / "float.onnx")
    assert np.allclose(predict(session, IMAGES, batch_size=64), expected, atol=1e-4)
    assert np.allclose(predict(session, IMAGES, batch_size=1), expected, atol=1e-4)


def test_an_integer_file_holds_the_stored_integers(integer_file: Path) -> None:
    """Every weight stored in the checkpoint stands in the file, integer for integer."""
    graph = onnx.load(integer_file).graph
    shipped = [
        numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8
    ]
    stored = [tensor.numpy() for tensor in integer_network()[0].state_dict().values() if tensor.dtype == torch.int8]
    assert len(stored) == 7
    for weight in stored:
        assert any(np.array_equal(weight, other) or np.array_equal(weight.T, other) for other in shipped)


def test_an_integer_file_computes_with_integers(integer_file: Path) -> None:
    """From the raw bytes to the last layer there is no float operator left but the final dequantization."""
    operators = [node.op_type for node in onnx.load(integer_file).graph.node]
    assert {"Conv", "Gemm", "QuantizeLinear", "Cast", "Mul", "Div"}.isdisjoint(operators)
    assert operators.count("DequantizeLinear") == 1


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


def test_an_answer_that_is_no_number_is_refused(tmp_path: Path) -> None:
    """A file that answers NaN raises instead of being scored."""
    module = network()
    torch.nn.init.constant_(module[1].head.bias, float("nan"))
    export_model(module, ARCHITECTURE, IMAGES, tmp_path / "nan.onnx")
    with pytest.raises(ModelError, match="answered with NaN or infinity"):
        predict(open_session(tmp_path / "nan.onnx"), IMAGES)


def test_timing_goes_on_while_it_is_undecided(integer_file: Path) -> None:
    """A file against itself straddles the limit 1, so timing uses all its repeats; a far limit needs the least."""
    affinity = os.sched_getaffinity(0)
    try:
        near = compare(integer_file, integer_file, IMAGES[:1], Schedule(3, 5, 10, 0.0, 0.999999, 1.0))
        far = compare(integer_file, integer_file, IMAGES[:1], Schedule(3, 5, 10, 0.0, 0.9, 1000.0))
    finally:
        os.sched_setaffinity(0, affinity)
    assert (len(near.ratios), len(far.ratios)) == (5, 3)
    assert near.interval[0] <= near.ratio <= near.interval[1]
