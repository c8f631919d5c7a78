"""The thin callers of the methods."""
