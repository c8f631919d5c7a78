"""What wakes one workflow when another has done something. No workflow is built here: two files share it."""

from pathlib import Path

from airflow.sdk import Asset

from tasks.recipe import Recipe

RECIPES = Path(__file__).parent / "recipes"


def candidate_of(recipe: Recipe) -> Asset:
    """Name the event that a candidate of this recipe was registered."""
    return Asset(f"candidate_{recipe.name}", uri=f"stillhouse://candidate/{recipe.name}")
