"""Retrieval: pictures and captions, written and perhaps spoken, in one space; quality is recall both ways."""
