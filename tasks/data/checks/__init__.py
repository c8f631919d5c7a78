"""Great Expectations on every dataset."""
