"""The data package: it builds datasets from their sources, stores them in a DVC remote, and validates them."""
