"""Distillation losses, and the cache of teacher outputs."""
