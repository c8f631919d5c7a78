"""Open a LiteRT file as it is deployed: one thread, the runtime's default options otherwise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError


def open_file(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """Open a file of an image classifier.

    Returns:
        A function from one raw image (1, H, W, C), uint8, to numbers (1, K): logits or probabilities.

    Raises:
        ModelError: the runtime cannot open the file.
    """
    from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-not-found] # TensorFlow's environment has it

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        msg = f"LiteRT cannot open {path.name} ({' '.join(str(error).split())[:300]}); convert the model again"
        raise ModelError(msg) from error
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    place, answer_place = given["index"], found["index"]
    enter, leave = _quantizer(given), _dequantizer(found)

    def answer(image_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        interpreter.set_tensor(place, enter(image_NHWC))
        interpreter.invoke()
        return leave(interpreter.get_tensor(answer_place))

    return answer


def _quantizer(given: dict[str, Any]) -> Callable[[NDArray[np.uint8]], NDArray[np.generic]]:
    """Return what a program does to a raw image before it enters. A scale of 1 leaves raw pixels as they are."""
    kind, (scale, zero) = np.dtype(given["dtype"]), given["quantization"]
    if kind == np.uint8 and (round(scale, 6), zero) == (1, 0):
        return lambda image_NHWC: image_NHWC
    if scale == 0:
        return lambda image_NHWC: image_NHWC.astype(kind)
    lowest, highest = np.iinfo(kind).min, np.iinfo(kind).max
    return lambda image_NHWC: np.clip(np.round(image_NHWC / scale) + zero, lowest, highest).astype(kind)


def _dequantizer(found: dict[str, Any]) -> Callable[[NDArray[np.generic]], NDArray[np.float32]]:
    scale, zero = found["quantization"]
    if scale == 0:
        return lambda answers_NK: answers_NK.astype(np.float32, copy=False)
    return lambda answers_NK: (answers_NK.astype(np.float32) - zero) * np.float32(scale)
