"""Make a dataset from a user's own folder of pictures."""
