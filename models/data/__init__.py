"""Readers of data on disk: bytes to arrays, one file per modality."""
