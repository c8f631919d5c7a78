"""Calibration of a graph, batch by batch."""

import contextlib
import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, calibrate

from stillhouse.models.onnx import calibration
from stillhouse.models.onnx.calibration import BINS, METHODS, write_ranges

WIDTH, COUNT = 6, 50


class AllTogether(CalibrationDataReader):
    """All examples as one batch, as the library's calibrator is usually fed."""

    def __init__(self, inputs: np.ndarray) -> None:
        self._left = iter([{"x": inputs}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the batch once."""
        return next(self._left, None)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """A graph of a product, its positive part, and another product."""
    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(generator.standard_normal((WIDTH, WIDTH), np.float32), name) for name in ("w1", "w2")
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w2"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", WIDTH]) for name in ("x", "y")]
    made = helper.make_graph(nodes, "products", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def examples() -> np.ndarray:
    """Return examples of which the first half is tiny: histograms that grow would grow by half a million bins."""
    inputs = np.random.default_rng(1).standard_normal((COUNT, WIDTH)).astype(np.float32)
    inputs[: COUNT // 2] *= 1e-6
    return inputs


def of_the_library(graph: Path, inputs: np.ndarray, method: str) -> str:
    """Return the ranges that the library's calibrator finds in all examples together."""
    options = {"num_bins": BINS} if method == "entropy" else {}
    calibrator = calibrate.create_calibrator(
        graph,
        augmented_model_path=str(graph.with_name("theirs.onnx")),
        calibrate_method=METHODS[method],
        extra_options=options,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        calibrator.collect_data(AllTogether(inputs))
        calibrate.save_tensors_data(calibrator.compute_data(), graph.with_name("theirs.json"))
    return graph.with_name("theirs.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("held", [1, 1000, 2**30])
def test_ranges_do_not_depend_on_the_batches(
    graph: Path, method: str, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ranges of batches of one example, of some and of all are those that the library finds in all together."""
    monkeypatch.setattr(calibration, "HELD", held)
    found = write_ranges(graph, examples(), method).read_text(encoding="utf-8")
    assert found == of_the_library(graph, examples(), method)


@pytest.mark.parametrize(("held", "sizes"), [(1, [1] * COUNT), (2**30, [8] * 6 + [2])])
def test_a_batch_is_as_large_as_the_memory_allows(
    graph: Path, held: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight examples are run together, and one by one where the numbers of two are too many."""
    monkeypatch.setattr(calibration, "HELD", held)
    ran = list[int]()

    def batches(session: object, inputs: np.ndarray) -> list[calibration.Inputs]:
        made = own(session, inputs)  # type: ignore[arg-type]
        ran.extend(len(batch["x"]) for batch in made)
        return made

    own = calibration._batches  # noqa: SLF001
    monkeypatch.setattr(calibration, "_batches", batches)
    write_ranges(graph, examples(), "entropy")
    assert ran == sizes
