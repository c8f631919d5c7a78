"""Tools that do not fit into our own environment: each has an environment of its own, made on first use."""
