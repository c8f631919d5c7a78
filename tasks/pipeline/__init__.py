"""The ordered stages of a recipe, the keys of the stages, and the code that runs one stage."""
