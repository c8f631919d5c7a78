"""Text classification: the model names the class of a text. Quality is accuracy."""
