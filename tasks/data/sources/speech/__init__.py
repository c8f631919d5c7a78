"""Sources of recordings with transcripts."""
