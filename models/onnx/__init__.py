"""Export from torch to ONNX, quantization, packing of the shipped file, and import of foreign ONNX files."""
