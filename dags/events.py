"""The asset events by which one workflow wakes another. Two DAG files share this module; it builds no DAG."""

from pathlib import Path

from airflow.sdk import Asset

from stillhouse.tasks.recipe.recipe import Recipe

RECIPES = Path(__file__).parent / "recipes"


def candidate_of(recipe: Recipe) -> Asset:
    """Return the event that a candidate of this recipe was registered."""
    return Asset(f"candidate_{recipe.name}", uri=f"stillhouse://candidate/{recipe.name}")


def data_of(dataset: str) -> Asset:
    """Return the event that a dataset has a new version. Its extra has the revision and the data_version."""
    return Asset(f"data_{dataset}", uri=f"stillhouse://data/{dataset}")
