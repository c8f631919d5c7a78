"""Speech recognition: recordings of any length in, text out."""
