"""The page of a recipe's keys, and how a key of a pydantic model is described; a part of .ci/reference.py."""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from stillhouse.tasks.recipe import distillation, judging, section, steps, teacher
from stillhouse.tasks.recipe.recipe import Recipe

MADE = "<!-- made by .ci/reference.py; `make docs` writes it again -->"
LONGEST_DEFAULT = 30
"""Characters of a default that is shown. A longer one is that of a whole section."""
LARGEST_WHOLE = 1e15
"""A number from here on is written with an exponent."""
Schema = Mapping[str, Any]
GROUPS: dict[str, dict[str, type[BaseModel]]] = {
    "data": {"": section.Data},
    "teacher": {
        "A teacher that is trained": teacher.Teacher,
        "A teacher that is an ONNX file": teacher.BlackBox,
        "A teacher that is a folder": teacher.Folder,
    },
    "network": {"": teacher.Network},
    "training": {"": teacher.Training},
    "steps": {
        "distil": steps.Distil,
        "prune_unstructured": steps.PruneUnstructured,
        "prune_structured": steps.PruneStructured,
        "drop_layers": steps.DropLayers,
        "low_rank": steps.LowRank,
        "fold": steps.Fold,
        "quantize": steps.Quantize,
        "pack": steps.Pack,
    },
    "distillation": {
        "Kind logits": distillation.LogitDistillation,
        "Kind embedding": distillation.EmbeddingDistillation,
        "Kind ctc": distillation.CtcDistillation,
        "Any other kind": distillation.OwnDistillation,
    },
    "features": {"": distillation.Features},
    "keep_step_if": {"": steps.KeepStepIf},
    "latency": {"": judging.Latency},
    "gate": {"": judging.Gate},
    "promotion": {"": judging.Promotion},
}
"""Heading -> heading below it -> section of a recipe; an empty one: the section has the upper heading alone."""
SECTIONS = {each.__name__: each for group in GROUPS.values() for each in group.values()}
TITLES = {each.__name__: below or title for title, group in GROUPS.items() for below, each in group.items()}
HEAD = ("key", "type", "default", "bounds", "meaning")


def recipe_page() -> str:
    """Describe every key of a recipe.

    Raises:
        KeyError: a section of the recipe has no heading in `GROUPS`.
    """
    schema = Recipe.model_json_schema()
    top = (
        f"# Recipe keys\n\n{MADE}\n\n"
        "A recipe is one YAML file. An unknown key is an error, and each value has exactly its type.\n"
        "[Methods](../methods.md) says what the steps do. [The recipes](../recipes.md) lists those that ship.\n"
    )
    parts = [top, f"## The recipe\n\n{key_table(Recipe, schema)}"]
    for title, group in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [section_text(below, each, schema["$defs"][each.__name__]) for below, each in group.items()]
    if left := set(schema["$defs"]) - set(TITLES):
        raise KeyError(*sorted(left))
    return "\n".join(parts)


def section_text(heading: str, model: type[BaseModel], schema: Schema) -> str:
    """Describe one section of a recipe: its heading, its docstring, its keys."""
    above = f"### {heading}\n\n" if heading else ""
    return f"{above}{prose(model.__doc__ or '')}\n\n{key_table(model, schema)}"


def key_table(model: type[BaseModel], schema: Schema, told: Mapping[str, str] | None = None) -> str:
    """List the keys of a pydantic model.

    Args:
        model: the model.
        schema: its JSON schema.
        told: key -> its meaning, if no docstring below the field says it.
    """
    meanings, needed = {**(told or {}), **field_docstrings(model)}, schema.get("required", ())
    rows = [
        (
            f"`{key}`",
            type_of(each),
            default_of(each, needed=key in needed),
            bounds_of(each),
            meanings.get(key) or _section_says(each),
        )
        for key, each in schema.get("properties", {}).items()
    ]
    return table(HEAD, rows)


def _section_says(schema: Schema) -> str:
    """Give the first sentence of the section that a key holds."""
    referred = [each["$ref"].rsplit("/")[-1] for each in (schema, *schema.get("anyOf", ())) if "$ref" in each]
    return prose(SECTIONS[referred[0]].__doc__ or "").split(". ")[0].rstrip(".") + "." if referred else ""


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Read the string that stands below each field of a model and of its bases."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__[: model.__mro__.index(BaseModel)]):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)  # noqa: S101 - the source of a class is one
        for field, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                found[field.target.id] = in_yaml(ast.literal_eval(below.value))
    return found


def in_yaml(text: str) -> str:
    """Write a docstring as one line, with YAML's word for None."""
    return re.sub(r"`None`|\bNone\b", "`null`", prose(text))


def prose(text: str) -> str:
    """Join the lines of a docstring."""
    return " ".join(text.split())


def type_of(schema: Schema) -> str:
    """Name the type of a key, with a link to each section of a recipe."""
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _union(options)
    if "$ref" in schema:
        return _link(TITLES[schema["$ref"].rsplit("/")[-1]])
    if "const" in schema or "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        items = (
            type_of(schema["items"])
            if "items" in schema
            else " and ".join(dict.fromkeys(map(type_of, schema["prefixItems"])))
        )
        return f"list of: {items}"
    if "patternProperties" in schema:
        return f"names to: {type_of(next(iter(schema['patternProperties'].values())))}"
    words = {"object": "mapping", "string": "text", "integer": "whole number", "boolean": "`true`, `false`"}
    return words.get(schema.get("type", ""), "number")


def _union(options: Sequence[Schema]) -> str:
    referred = {TITLES[each["$ref"].rsplit("/")[-1]] for each in options if "$ref" in each}
    for title, group in GROUPS.items():
        if len(referred) > 1 and referred == set(group):
            return _link(title)
    words = [type_of(each) for each in options if each.get("type") != "null"]
    return " or ".join(words) + (", or `null`" if len(words) < len(options) else "")


def _link(title: str) -> str:
    return f"[{title}](#{title.lower().replace(' ', '-')})"


def default_of(schema: Schema, *, needed: bool) -> str:
    """Show the default of a key as YAML spells it, or say that the key is needed."""
    if needed:
        return "**required**"
    default = schema.get("default", {})
    value = default if isinstance(default, str) else json.dumps(default)
    return f"`{value}`" if len(value) <= LONGEST_DEFAULT else "its own defaults"


def bounds_of(schema: Schema) -> str:
    """Say what values a key may have, beside its type."""
    if options := schema.get("anyOf"):
        return "; ".join(filter(None, map(bounds_of, options)))
    items = [
        *([schema["items"]] if "items" in schema else ()),
        *schema.get("prefixItems", ()),
        *schema.get("patternProperties", {}).values(),
    ]
    each = "; ".join(dict.fromkeys(filter(None, map(bounds_of, items))))
    found = (
        _between(schema.get("minimum"), schema.get("maximum"), "") or _between_open(schema),
        _between(schema.get("minLength"), schema.get("maxLength"), " characters"),
        _between(schema.get("minItems"), schema.get("maxItems"), " items"),
        f"`{schema['pattern']}`" if "pattern" in schema else "",
        f"each {each}" if each else "",
    )
    return "; ".join(filter(None, found))


def _between(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return ""
    return f"{_number(low)}{unit}" if low == high else f"{_number(low)} to {_number(high)}{unit}"


def _between_open(schema: Schema) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    return ", ".join(f"{word} {_number(schema[key])}" for key, word in words.items() if key in schema)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < LARGEST_WHOLE else f"{value:g}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table without the columns that no row fills; without rows there is none."""
    filled = [number for number in range(len(head)) if any(row[number] for row in rows)]
    lines = [head, ["---"] * len(head), *rows] if rows else []
    return "".join(
        f"| {' | '.join(line[number].replace('|', chr(92) + '|') for number in filled)} |\n" for line in lines
    )
