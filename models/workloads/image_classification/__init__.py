"""Image classification: which class a picture belongs to; quality is accuracy."""
