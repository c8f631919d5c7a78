"""The index of vectors and what finds in it."""
