"""Keras files: checked here, read and converted in TensorFlow's own environment."""
