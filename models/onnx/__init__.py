"""torch -> ONNX -> integers -> the packed file that ships; and foreign ONNX files."""
