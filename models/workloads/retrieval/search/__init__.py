"""Vector index and search."""
