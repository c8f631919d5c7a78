"""Compress a user's own model: climb from the mildest to the strongest compression until the goals are met."""
