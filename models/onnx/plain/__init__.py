"""Shipped files in plain ONNX operators, for runtimes that do not know ONNX Runtime's own."""
