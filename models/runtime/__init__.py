"""Shipped bundles, and ONNX Runtime sessions."""
