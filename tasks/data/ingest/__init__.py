"""Ingestion of new batches of raw data."""
