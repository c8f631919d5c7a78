"""MLflow as the store of runs."""
