"""The format of a dataset."""
