"""Subnormal weights become 0 in an exported file: a processor multiplies them up to a hundred times slower.

They lie below 1.2e-38, where float32 loses its precision. Weight decay and the tails of windows make them.
"""

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

SMALLEST = np.finfo(np.float32).tiny


def flush_subnormals(model: ModelProto) -> int:
    """Put 0 in place of each subnormal float32 weight of a graph, in place; returns how many there were."""
    return sum(_flush(tensor) for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)


def _flush(tensor: TensorProto) -> int:
    values = numpy_helper.to_array(tensor)
    subnormal = (np.abs(values) < SMALLEST) & (values != 0)
    if subnormal.any():
        tensor.CopyFrom(numpy_helper.from_array(np.where(subnormal, np.float32(0), values), tensor.name))
    return int(subnormal.sum())
