"""Losses by which a student learns from its teacher; the cache of its answers."""
