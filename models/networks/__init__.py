"""Plain networks, one family a file."""
