"""Read rows of pictures or texts from what a user has: one file for each kind of source."""
