"""Recipes: typed YAML."""
