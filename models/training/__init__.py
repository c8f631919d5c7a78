"""The training loop, its optimizers, and model checkpoints."""
