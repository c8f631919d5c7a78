"""The champion behind HTTP: what answers, how it follows the registry, what it refuses."""
