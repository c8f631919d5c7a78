"""Calibration: the ranges of a graph's numbers, by ONNX Runtime's calibrators, one batch at a time.

The quantizer's own calibration holds the numbers of all examples together. Those of 192 lines of text in a recogniser
are 24 GB.
"""

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, quantization
from onnxruntime.quantization import calibrate

METHODS = {
    "minmax": quantization.CalibrationMethod.MinMax,
    "entropy": quantization.CalibrationMethod.Entropy,
    "percentile": quantization.CalibrationMethod.Percentile,
}
BINS = 1024
"""Number of histogram bins for entropy calibration.

With ONNX Runtime's default of 128 there is only one candidate threshold.
"""
AT_ONCE = 8
"""Most examples of a batch. A run holds many tensors of each, also if only their ends come out."""
HELD = 2**30
"""Most bytes of a graph's numbers for a batch of several examples."""

Inputs = dict[str, NDArray[np.generic]]
"""A batch, by the name of the graph's input."""
Number = np.floating[Any]


def write_ranges(graph: Path, calibration: NDArray[np.generic], method: str) -> Path:
    """Calibrate, and write the ranges beside the graph, to a file for the quantizer.

    Args:
        graph: the prepared fp32 file.
        calibration: raw inputs (N, ...).
        method: `minmax`, `entropy` or `percentile`.
    """
    calibrator = calibrate.create_calibrator(
        graph,
        augmented_model_path=str(graph.with_name("augmented.onnx")),
        calibrate_method=METHODS[method],
        extra_options={"num_bins": BINS} if method == "entropy" else {},
    )
    batches = _batches(calibrator.infer_session, calibration)
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints
        if method == "minmax":
            calibrator.collect_data(_Reader(batches))
        else:
            calibrator.collector = _histograms(calibrator, batches)
        ranges = calibrator.compute_data()
    path = graph.with_name("ranges.json")
    calibrate.save_tensors_data(ranges, path)
    return path


def _batches(session: InferenceSession, inputs: NDArray[np.generic]) -> list[Inputs]:
    """Return batches whose numbers, of all tensors of the graph, fit into the memory."""
    name = session.get_inputs()[0].name
    one = sum(found.nbytes for found in session.run(None, {name: inputs[:1]}))
    size = max(1, min(AT_ONCE, HELD // one))
    return [{name: inputs[start : start + size]} for start in range(0, len(inputs), size)]


def _histograms(calibrator: calibrate.HistogramCalibrater, batches: Sequence[Inputs]) -> calibrate.HistogramCollector:
    """Return the library's histograms: as its own of all examples together, but counted batch by batch.

    A first pass finds where a histogram ends. One of the library's grows by bins of its first width: after a batch of
    tiny numbers, they would fill the memory.
    """
    symmetric, bins = calibrator.symmetric, calibrator.num_bins
    collector = calibrate.HistogramCollector(
        calibrator.method, symmetric, bins, calibrator.num_quantized_bins, calibrator.percentile, calibrator.scenario
    )
    spans = dict[str, tuple[Number, Number, Number]]()
    for name, found in _numbers(calibrator, batches):
        spans[name] = _wider(found, spans.get(name))
    for name, found in _numbers(calibrator, batches):
        lowest, highest, nearest = spans[name]
        farthest = max(abs(lowest), abs(highest))
        counted, ends = (abs(found), (nearest, farthest)) if symmetric else (found, (-farthest, farthest))
        counts, edges = np.histogram(counted, bins, ends)  # type: ignore[arg-type]  # numbers of float32, as the library's
        if name in collector.histogram_dict:
            counts = counts + collector.histogram_dict[name][0]
        collector.histogram_dict[name] = (counts, edges.astype(found.dtype), lowest, highest, farthest)
    return collector


def _numbers(
    calibrator: calibrate.HistogramCalibrater, batches: Sequence[Inputs]
) -> Iterator[tuple[str, NDArray[Number]]]:
    """Yield the numbers of each tensor to calibrate, batch by batch."""
    session = calibrator.infer_session
    wanted = [output.name for output in session.get_outputs() if output.name in calibrator.tensors_to_calibrate]
    for batch in batches:
        yield from zip(wanted, session.run(wanted, batch), strict=True)


def _wider(found: NDArray[Number], span: tuple[Number, Number, Number] | None) -> tuple[Number, Number, Number]:
    """Return the lowest, the highest and the least absolute number of a batch, and of the batches before."""
    lowest, highest, nearest = span or (found.max(), found.min(), abs(found).max())
    return min(lowest, found.min()), max(highest, found.max()), min(nearest, abs(found).min())


class _Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
    """The batches, one after the other."""

    def __init__(self, batches: Sequence[Inputs]) -> None:
        self._left = iter(batches)

    def get_next(self) -> Inputs | None:
        return next(self._left, None)
