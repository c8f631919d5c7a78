"""Networks without compression, one family per file."""
