"""Recipes: YAML files with typed, checked keys."""
