"""What the light installation does not have, and the sentence for a command that needs it."""

from importlib.util import find_spec

from stillhouse.tasks.errors import StillhouseError

PIPELINE = ("airflow", "boto3", "botocore", "dvc", "great_expectations", "pandas", "resvg_py", "scipy", "sklearn")
"""Modules of the extra `pipeline` of pyproject.toml that the light installation does not have."""


def explain_missing(error: ModuleNotFoundError) -> str | None:
    """Return the sentence for a module of the extra `pipeline`; `None` for any other module."""
    module = (error.name or "").partition(".")[0]
    return _sentence(module) if module in PIPELINE else None


def expect_airflow() -> None:
    """Expect Airflow, which is started as a process of its own.

    Raises:
        StillhouseError: this is the light installation.
    """
    if find_spec("airflow") is None:
        raise StillhouseError(_sentence("airflow"))


def _sentence(module: str) -> str:
    return f"this command needs {module}, which the light installation does not have; install all with `make install`"
