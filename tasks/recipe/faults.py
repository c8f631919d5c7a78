"""The error text for the keys of a recipe that do not fit."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

MOST_FAULTS = 8
MOST_CHARACTERS = 60
UNIONS = ("teacher", "distillation", "finetune")
UNION_MEMBERS = {"trained", "onnx", "logits", "embedding", "ctc", "own"}
RENAMED = {
    "also": "extra_teachers",
    "answers": "output",
    "blends": "mixup_views",
    "least_gained": "min_saving",
    "letters": "ctc_kl_weight",
    "most_damage": "max_quality_drop",
    "most_lost": "max_quality_drop",
    "old_index": "comparisons: {backward_compatibility: ...}",
    "points": "max_drop_points",
    "recovery": "finetune",
    "regression": "cosine_weight",
    "relations": "rkd_weight",
    "tower": "component",
    "towers": "components",
    "views": "augmented_views",
    "worth": "keep_step_if",
}
"""Key of a recipe until version 0.1 -> the name of that key now."""
MAPPING = "Input should be a mapping of keys"
YAMLS_WORDS = {"model_type": MAPPING, "model_attributes_type": MAPPING, "tuple_type": "Input should be a list"}
"""Error type of pydantic -> a message in terms of YAML; pydantic's own message uses terms of Python."""


def explain(error: ValidationError) -> str:
    """Name each wrong key, the problem, and the value that was found."""
    faults = _causes([dict(each) for each in error.errors(include_url=False, include_context=False)])
    more = [f"and {len(faults) - MOST_FAULTS} more"] if len(faults) > MOST_FAULTS else []
    return "; ".join([*(f"{_place(e['loc'])}: {_wrong(e)}{_show_value(e)}" for e in faults[:MOST_FAULTS]), *more])


def _causes(faults: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out the error of a list that is too short only because its items do not fit."""
    places = [fault["loc"] for fault in faults]
    return [
        fault
        for fault in faults
        if fault["type"] != "too_short"
        or not any(place[: len(fault["loc"])] == fault["loc"] != place for place in places)
    ]


def _place(keys: tuple[int | str, ...]) -> str:
    """Write the path of a key as in the recipe, without the names of union members."""
    owners = ("", *keys)
    pairs = zip(keys, owners, strict=False)
    keys = tuple(key for key, owner in pairs if key not in UNION_MEMBERS or owner not in UNIONS)
    return ".".join(str(key)[:MOST_CHARACTERS] for key in keys) or "recipe"


def _wrong(fault: Mapping[str, Any]) -> str:
    key = str(fault["loc"][-1]) if fault["loc"] else ""
    if fault["type"] == "extra_forbidden" and key in RENAMED:
        return f"it is called {RENAMED[key]} now"
    return YAMLS_WORDS.get(fault["type"], str(fault["msg"]).removeprefix("Value error, "))


def _show_value(fault: Mapping[str, Any]) -> str:
    """Show a single value that does not fit. For a missing or unknown key, the name of the key is enough."""
    value = fault["input"]
    shown = isinstance(value, bool | int | float | str | None) and fault["type"] not in {"missing", "extra_forbidden"}
    return f", not {_as_yaml(value)}" if shown and fault["type"] != "value_error" else ""


def _as_yaml(value: object) -> str:
    if isinstance(value, bool | None):
        return {True: "true", False: "false", None: "null"}[value]
    return repr(value[:MOST_CHARACTERS]) if isinstance(value, str) else str(value)
