"""New views of training examples."""
