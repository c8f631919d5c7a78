"""Sources of the sample data."""
