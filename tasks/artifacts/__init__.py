"""What a stage leaves, and the digests of data, code and machine that it depends on."""
