"""What ships, and ONNX Runtime."""
