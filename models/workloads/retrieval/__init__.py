"""Retrieval: pictures and captions (written, optionally spoken) in one space. Quality is recall in all directions."""
