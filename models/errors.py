"""Errors of the models package. Each message names the problem and the remedy."""


class ModelError(ValueError):
    """An operation is not possible on this model with these settings."""


class DivergedError(ModelError):
    """The training loss is not finite. The result is useless, but the model from before the training is valid."""


class ModelFault(Exception):  # noqa: N818 - an answer
    """The model fails on a valid input. The client is not at fault."""
