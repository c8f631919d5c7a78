"""The DVC remote and the git history of data.dvc."""
