"""New batches."""
