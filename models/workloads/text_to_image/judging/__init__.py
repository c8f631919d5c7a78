"""How pictures are judged and shown."""
