"""Measurement of time, memory and bytes of files; statistics."""
