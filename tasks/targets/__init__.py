"""Other runtimes than ONNX Runtime: which models each one takes, and what a converted model is like there."""
