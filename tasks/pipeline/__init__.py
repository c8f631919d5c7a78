"""The ordered stages of a recipe, their keys, and how one is run."""
