"""Look at a user's model without running it."""
