"""Fewer weights, channels and heads."""
