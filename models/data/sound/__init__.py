"""Recordings: decoded, resampled, and brought to the input of a network."""
