"""The HTTP server of the champion: inference, following the registry, and refusing invalid requests."""
