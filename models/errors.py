"""The one way the model layer refuses: a sentence that names the thing and the remedy."""


class ModelError(ValueError):
    """Something that cannot be done to this model with these settings."""


class DivergedError(ModelError):
    """A training whose loss is no number any more: what it made is worthless, what was before it is not."""


class ModelFault(Exception):  # noqa: N818 - an answer
    """The model does not answer an input that it should: not the fault of who asks."""
