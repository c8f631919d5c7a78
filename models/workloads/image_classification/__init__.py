"""Image classification: the model names the class of a picture. Quality is accuracy."""
