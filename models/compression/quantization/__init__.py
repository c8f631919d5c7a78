"""Quantization of weights to integers."""
