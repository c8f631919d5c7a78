"""The few ways a stage can refuse. Every message names the thing and ends with the remedy."""


class StillhouseError(Exception):
    """Something the user can mend; the message is one sentence that says how."""


class RecipeError(StillhouseError):
    """A recipe file that cannot be used as written."""


class DataError(StillhouseError):
    """Data that is missing, altered or does not pass its expectations."""


class ServiceError(StillhouseError):
    """A server (MLflow, Airflow, the DVC remote) that does not answer as it should."""


class ArtifactError(StillhouseError):
    """A stage output that is incomplete or does not match its manifest."""


class BatchError(StillhouseError):
    """A landed batch of which no data may be made."""
