"""Tell from a classifier's files which classes it names, and whether it names one class for each example."""

from collections.abc import Mapping, Sequence
from typing import Any

from safetensors import SafetensorError, safe_open

from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.source import Source

PLACEHOLDER = "LABEL_"
"""Beginning of the names that transformers gives to labels without a name."""
SHOWN = 12
"""Labels that a message shows."""
LAST = ("classifier.weight", "classifier.out_proj.weight")
"""Last weight of a text classifier."""
ONE_OF_MANY = (None, "single_label_classification")
PROBLEMS = {
    "regression": "a regression, which answers with a number",
    "multi_label_classification": "a classifier that may give a text several labels",
}


def labels_of(source: Source) -> tuple[str, ...]:
    """Return the names of the classes in the order of the logits. Classes without a name are `LABEL_0` and so on.

    Raises:
        ModelError: id2label in config.json is no table of the numbers from 0 and their names.
    """
    named = source.config.get("id2label")
    if not named:
        return placeholders(_outputs(source))
    try:
        by_number = {int(number): str(name) for number, name in named.items()}
        return tuple(by_number[number] for number in range(len(named)))
    except (AttributeError, KeyError, ValueError) as error:
        msg = f"{source.path / 'config.json'} has an id2label that does not name the numbers from 0; mend it"
        raise ModelError(msg) from error


def placeholders(count: int) -> tuple[str, ...]:
    """Return the names that transformers gives to labels without a name."""
    return tuple(f"{PLACEHOLDER}{number}" for number in range(count))


def some(names: Sequence[str]) -> str:
    """List the first names, and count the others."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def kind_of_head(config: Mapping[str, Any], outputs: int) -> str:
    """Say what a head is if it does not choose one class of several. Empty if it does.

    Args:
        config: content of config.json.
        outputs: number of its outputs.
    """
    problem = config.get("problem_type")
    if problem not in ONE_OF_MANY:
        return PROBLEMS.get(str(problem), f"of the problem type {problem}")
    return PROBLEMS["regression"] if outputs == 1 else ""


def _outputs(source: Source) -> int:
    """Count the outputs of the last layer, from the headers of the files. 0 if there is none."""
    for file in source.files:
        try:
            with safe_open(file, framework="np") as tensors:
                for name in LAST:
                    if name in tensors.keys():  # noqa: SIM118 - not a dict
                        return int(tensors.get_slice(name).get_shape()[0])
        except SafetensorError as error:
            msg = f"{file} is damaged ({' '.join(str(error).split())[:200]}); copy it again"
            raise ModelError(msg) from error
    return 0
