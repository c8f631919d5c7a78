"""Bytes on disk -> arrays, one modality a file."""
