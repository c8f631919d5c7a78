"""What tests ask of an exported graph."""

from onnx import ModelProto


def dequantized_weights(model: ModelProto) -> list[str]:
    """Name the stored weights that the runtime, under its default options, dequantizes at every call."""
    stored = {tensor.name for tensor in model.graph.initializer}
    dequantizers = [node for node in model.graph.node if node.op_type == "DequantizeLinear"]
    return [node.input[0] for node in dequantizers if node.input[0] in stored]
