"""Text recognition: pictures of lines in, text out."""
