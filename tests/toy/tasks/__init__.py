"""Another package of a user's own with a common name."""

SEVERE = 150.0
"""From here on a disease is severe."""
