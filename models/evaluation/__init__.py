"""Evaluation of deployables in a separate process that loads no training code."""
