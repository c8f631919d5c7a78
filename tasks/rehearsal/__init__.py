"""Rehearse a recipe on an excerpt of its data, before a night is spent on it."""
