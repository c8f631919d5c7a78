"""Text to image: a text encoder and a denoiser that moves noise towards a picture of the text."""
