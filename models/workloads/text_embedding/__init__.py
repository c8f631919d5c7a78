"""Text embedding: a text encoder whose teacher is a user's own model, without labels."""
