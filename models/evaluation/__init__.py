"""Judging what ships, in a clean process: nothing of the training code is loaded."""
