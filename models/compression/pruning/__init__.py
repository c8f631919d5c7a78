"""Pruning of weights, channels and heads."""
