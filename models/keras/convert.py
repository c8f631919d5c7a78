"""Convert a Keras or TensorFlow classifier to one ONNX file, and compare both. It runs in TensorFlow's environment.

`python -m stillhouse.models.keras.convert REQUEST ANSWER` with `model`, the path of a `.keras` file, an `.h5` file or
a SavedModel, and `onnx`, the path of the new file.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.aside import write_aside
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.json_process import answer_or_refuse
from stillhouse.models.keras.facts import describe
from stillhouse.models.keras.saved_model import check_operators
from stillhouse.models.keras.weights import read_keras

OPSET = 18
TOLERANCE = 1e-3
"""Largest allowed difference of an output, as a share of the largest output of its batch, or of 1 if that is less."""
UNKNOWN_SIDE = 64
"""Side of the trial images if the model takes images of any size."""

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def convert(request: Mapping[str, Any]) -> dict[str, Any]:
    """Convert, compare, and only then put the new file in its place.

    Returns:
        The input's `shape` without the batch (None for a side of any size), `layout`, `scale`, `output`, `classes` and
        `largest_difference`.

    Raises:
        ModelError: the model is refused, or the ONNX file computes something else.
    """
    source, target = Path(request["model"]), Path(request["onnx"])
    predict, shape, write = _open_folder(source) if source.is_dir() else _open_file(source)
    _check_shape(shape, source)
    batches = _trial_batches(shape[1:])
    outputs = [predict(batch) for batch in batches]
    if outputs[0].ndim != 2:  # noqa: PLR2004 - one row of classes for each image
        msg = f"{source.name} answers an image with {outputs[0].shape[1:]}, not a row of classes; name a classifier"
        raise ModelError(msg)
    with write_aside(target) as aside:
        _write(write, aside, source)
        difference = _compare(aside, batches, outputs, source)
    return describe(shape[1:], outputs) | {"largest_difference": difference}


def _write(write: Callable[[Path], None], path: Path, source: Path) -> None:
    try:
        write(path)
    except Exception as error:  # the converters' errors have no common class
        msg = f"{source.name} has no ONNX form ({_one_line(error)}); replace that operator in the model"
        raise ModelError(msg) from error


def _open_file(source: Path) -> tuple[Predict, tuple[int | None, ...], Callable[[Path], None]]:
    """Open a `.keras` or `.h5` file. Returns its function, the shape of its input, and a writer of its ONNX form."""
    read_keras(source)
    import keras  # type: ignore[import-not-found] # TensorFlow's environment has it

    try:
        model = keras.models.load_model(source, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds
        msg = (
            f"{source.name} does not open in Keras {keras.__version__} ({_one_line(error)}); save it with this version"
        )
        raise ModelError(msg) from error
    for kind, ends in (("inputs", model.inputs), ("outputs", model.outputs)):
        if len(ends or ()) != 1:
            msg = f"{source.name} has {len(ends or ())} {kind}; save a model with one"
            raise ModelError(msg)

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(model(images, training=False), np.float32)

    def write(path: Path) -> None:
        model.export(str(path), format="onnx", opset_version=OPSET, verbose=False)

    return predict, tuple(model.inputs[0].shape), write


def _open_folder(source: Path) -> tuple[Predict, tuple[int | None, ...], Callable[[Path], None]]:
    """Open a SavedModel by its signature `serving_default`; returns the same as `_open_file`."""
    check_operators(source)
    import tensorflow as tf  # type: ignore[import-untyped] # TensorFlow's environment has it
    import tf2onnx  # type: ignore[import-not-found] # likewise

    try:
        loaded = tf.saved_model.load(str(source))
    except Exception as error:  # TensorFlow raises many kinds
        msg = f"{source.name} does not open in TensorFlow {tf.__version__} ({_one_line(error)}); export it again"
        raise ModelError(msg) from error
    signature = loaded.signatures.get("serving_default")
    inputs = signature.structured_input_signature[1] if signature else {}
    if signature is None or len(inputs) != 1 or len(signature.structured_outputs) != 1:
        msg = f"{source.name} needs a signature serving_default with one input and one output; export it with one"
        raise ModelError(msg)
    (name, spec), (out,) = next(iter(inputs.items())), signature.structured_outputs

    def predict(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(signature(**{name: tf.cast(images, spec.dtype)})[out], np.float32)

    def write(path: Path) -> None:
        # The function keeps `loaded`, because TensorFlow deletes the variables with it.
        function = tf.function(lambda images: (loaded, signature(**{name: images})[out])[1], input_signature=[spec])
        tf2onnx.convert.from_function(function, [spec], opset=OPSET, output_path=str(path))

    return predict, tuple(spec.shape), write


def _check_shape(shape: tuple[int | None, ...], source: Path) -> None:
    if len(shape) != 4:  # noqa: PLR2004 - a batch of images
        msg = (
            f"{source.name} takes inputs of shape {shape}, not images; name a model of (batch, height, width, channels)"
        )
        raise ModelError(msg)
    if shape[0] is not None:
        msg = f"{source.name} takes batches of {shape[0]} only; build it with keras.Input(shape=...) and save it again"
        raise ModelError(msg)


def _trial_batches(shape: tuple[int | None, ...]) -> list[NDArray[np.float32]]:
    """Make random images in the usual ranges, and images at the edges: black, white, and one bright pixel."""
    sides = [UNKNOWN_SIDE if side is None else side for side in shape]
    random = np.random.default_rng(17)
    bright = np.zeros((1, *sides), np.float32)
    bright.flat[0] = 255
    edges = [np.zeros((1, *sides), np.float32), np.full((2, *sides), 255, np.float32), bright]
    drawn = [random.uniform(low, high, (16, *sides)) for low, high in ((0, 1), (-1, 1), (0, 255))]
    return [*edges, *(batch.astype(np.float32) for batch in drawn)]


def _compare(path: Path, batches: list[NDArray[np.float32]], outputs: list[NDArray[np.float32]], source: Path) -> float:
    """Return the largest difference between the ONNX file and the model, as a share of the largest output."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (end,) = session.get_inputs()
    kind = {"tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(uint8)": np.uint8}.get(
        end.type, np.float32
    )
    worst = 0.0
    for batch, expected in zip(batches, outputs, strict=True):
        found = np.asarray(session.run(None, {end.name: batch.astype(kind)})[0], np.float32)
        if found.shape != expected.shape or not np.isfinite(expected).all():
            msg = f"{source.name} answers with NaN, or its ONNX form with another shape; save the model in float32"
            raise ModelError(msg)
        worst = max(worst, float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max()))))
    if worst > TOLERANCE:
        msg = (
            f"{source.name} and its ONNX form differ by {worst:.2g} of the largest output, more than {TOLERANCE:g}; "
            "save the model in float32 and for inference"
        )
        raise ModelError(msg)
    return worst


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


if __name__ == "__main__":
    answer_or_refuse(convert)
