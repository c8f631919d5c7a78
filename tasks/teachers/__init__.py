"""Teachers that users bring: a file that is only asked, or a folder that is read."""
