"""Provenance of a version: issue, sign and verify its provenance record, and reproduce it."""
