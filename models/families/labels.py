"""Compare the labels of a user's classifier with those of the data. They must be the same classes by their names."""

from collections.abc import Sequence
from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.labels import placeholders, some


def order_labels(folder: Path, names: Sequence[str], labels: Sequence[str]) -> tuple[list[int] | None, list[str]]:
    """Find the model's logit for each label of the data.

    Args:
        folder: of the model, for the message.
        names: of the model's classes, in the order of its logits.
        labels: of the data, in order.

    Returns:
        The number of the logit for each label, or None if they agree; and what is assumed.

    Raises:
        ModelError: model and data have other classes. The message says what to mend.
    """
    if tuple(names) == tuple(labels):
        return None, []
    if len(names) == len(labels) and tuple(names) == placeholders(len(names)):
        return None, [f"config.json names no labels; assumed the order of the data: {some(labels)}"]
    if _are_numbers(labels, len(names)) and not any(name.isdecimal() for name in names):
        meant = [f"{label} is {name}" for label, name in zip(labels, names, strict=True)]
        return None, [f"the data has numbers as labels; assumed that they count the model's labels: {some(meant)}"]
    if sorted(names) != sorted(labels) or len({*names}) != len(names):
        msg = (
            f"{folder} has the labels {some(names)} and the data has {some(labels)}; mend id2label in "
            "config.json or name the dataset that the model was trained on"
        )
        raise ModelError(msg)
    return [names.index(label) for label in labels], ["the logits are put into the order of the data's labels"]


def _are_numbers(labels: Sequence[str], count: int) -> bool:
    return tuple(labels) == tuple(map(str, range(count)))
