"""Where the sample data comes from."""
