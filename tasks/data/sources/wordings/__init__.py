"""Sentences that ask for pictures."""
