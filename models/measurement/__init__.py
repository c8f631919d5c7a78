"""Time, memory and bytes of files; statistics."""
