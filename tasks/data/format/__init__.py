"""The dataset format."""
