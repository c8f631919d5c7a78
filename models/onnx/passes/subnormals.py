"""Replace subnormal weights by 0, because a processor multiplies them up to a hundred times slower.

Subnormal numbers are below 1.2e-38, where float32 loses precision. Weight decay and window tails produce them.
"""

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

SMALLEST = np.finfo(np.float32).tiny


def flush_subnormals(model: ModelProto) -> int:
    """Replace each subnormal float32 weight of a graph by 0, in place. Returns how many there were."""
    return sum(_flush(tensor) for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)


def _flush(tensor: TensorProto) -> int:
    values = numpy_helper.to_array(tensor)
    subnormal = (np.abs(values) < SMALLEST) & (values != 0)
    if subnormal.any():
        tensor.CopyFrom(numpy_helper.from_array(np.where(subnormal, np.float32(0), values), tensor.name))
    return int(subnormal.sum())
