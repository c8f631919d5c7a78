"""Pictures of writing."""
