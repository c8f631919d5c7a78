"""Read models that users bring: a folder on disk becomes one of our networks with its weights."""
