"""A user's own package, called as many of them are. Stillhouse must not hide it, nor be hidden by it."""

RANGE = 300.0
"""How far two patients may be apart."""
