"""The output folders of stages, and the digests of the data, code and machine that the outputs depend on."""
