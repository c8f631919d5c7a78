"""A recipe run in this process, without servers."""
