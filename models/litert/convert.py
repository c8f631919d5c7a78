"""Convert an exported fp32 student to a LiteRT file in full integers. It runs in TensorFlow's environment.

`python -m stillhouse.models.litert.convert REQUEST ANSWER` with `onnx`, the fp32 file, `images`, a `.npy` file of raw
images (N, C, H, W) that determine the scales, and `tflite`, the path of the new file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stillhouse.models.aside import write_aside
from stillhouse.models.errors import ModelError
from stillhouse.models.evaluation.json_process import answer_or_refuse
from stillhouse.models.litert.graph import function_of, read_student


def convert(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write the LiteRT file: weights int8 with a scale for each channel, activations int8, raw pixels uint8 in.

    Returns:
        `bytes` of the file.

    Raises:
        ModelError: the student has an operator without a LiteRT form.
    """
    import tensorflow as tf  # type: ignore[import-untyped] # TensorFlow's environment has it

    model, shape = read_student(Path(request["onnx"]))
    images_NHWC = np.load(request["images"]).transpose(0, 2, 3, 1).astype(np.float32)
    if images_NHWC.shape[1:] != shape:
        msg = f"the student takes images {shape} and the data has {images_NHWC.shape[1:]}; name the student's dataset"
        raise ModelError(msg)

    def representative() -> Iterator[list[Any]]:
        for image_HWC in images_NHWC:
            yield [image_HWC[None]]

    function = tf.function(function_of(model), input_signature=[tf.TensorSpec((1, *shape), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], tf.Module())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type, converter.inference_output_type = tf.uint8, tf.float32
    content = bytes(converter.convert())
    with write_aside(Path(request["tflite"])) as aside:
        aside.write_bytes(content)
    return {"bytes": len(content)}


if __name__ == "__main__":
    answer_or_refuse(convert)
