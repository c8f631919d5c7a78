"""Audio classification: the model names the class of a recording. Quality is accuracy."""
