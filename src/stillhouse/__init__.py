"""Stillhouse under one name of its own, so that a user's packages may be called `models` or `tasks`.

The folders here are links to those at the top of the repository.
"""
