"""The verdict, and what it is read from."""
