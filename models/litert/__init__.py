"""Students as LiteRT files: built, converted and judged in TensorFlow's environment."""
