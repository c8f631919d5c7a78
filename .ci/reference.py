"""Write docs/reference/ anew from the code: `make docs`.

The keys of a recipe come from the pydantic models of tasks/recipe/, the networks from models/networks/registry.py, the
commands from the typer app of tasks/cli/. Nothing about a key, a network or a command is written here.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter
from reference_recipe import MADE, bounds_of, in_yaml, key_table, prose, recipe_page, table, type_of
from typer.core import TyperArgument

from stillhouse.models.networks.registry import NETWORKS
from stillhouse.tasks.cli.main import app
from stillhouse.tasks.recipe.network_arguments import ARGUMENTS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
PARAMETER_HEAD = ("argument or option", "value", "default", "meaning")


def main() -> None:
    """Write all pages. A page that has not changed is left alone."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path}\n")


def pages() -> dict[str, str]:
    """Make the text of each page of docs/reference/."""
    return {"recipe.md": recipe_page(), "networks.md": network_page(), "cli.md": command_page()}


def network_page() -> str:
    """Describe the arguments of every network."""
    top = (
        f"# Networks\n\n{MADE}\n\n"
        "A recipe names a network and its arguments under the key [`network`](recipe.md#network). An installed\n"
        "package can bring [networks of its own](../your-own-model.md#a-workload-or-a-network-of-your-own).\n"
    )
    parts = [top]
    for name, known in NETWORKS.items():
        says = f"{prose(known.module.__doc__ or '')} Input: {known.takes}. Output: {known.gives}."
        keys = key_table(ARGUMENTS[name], ARGUMENTS[name].model_json_schema(), arguments_of(known.module))
        parts.append(f"## {name}\n\n{says}\n\n{keys}")
    return "\n".join(parts)


def arguments_of(owner: type) -> dict[str, str]:
    """Read `Args:` of the constructors of a class, of its bases, and of the classes that its constructor names."""
    said, module = _doc_of_constructor(owner), vars(sys.modules[owner.__module__])
    named = [module[word] for word in re.findall(r"[A-Z]\w+", said) if isinstance(module.get(word), type)]
    found: dict[str, str] = {}
    for each in (*named, *reversed(owner.__mro__)):
        found |= _google_arguments(_doc_of_constructor(each))
    return found


def _doc_of_constructor(owner: type) -> str:
    return inspect.getdoc(vars(owner).get("__init__")) or ""


def _google_arguments(docstring: str) -> dict[str, str]:
    block = re.search(r"^Args:\n((?:(?:    .*)?\n?)*)", docstring, re.MULTILINE)
    found = re.findall(r"^    (\w+): (.*(?:\n     .*)*)", block[1] if block else "", re.MULTILINE)
    return {name: in_yaml(f"{text[0].upper()}{text[1:]}") for name, text in found}


def command_page() -> str:
    """Describe every command with its arguments and options, in alphabetical order."""
    commands = sorted(_commands(typer.main.get_command(app), "stillhouse"))
    return f"# Command line\n\n{MADE}\n\n{prose(app.info.help or '')}\n\n" + "\n".join(map(_command_text, commands))


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer gives no type of both
    for word, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield f"{name} {word}", each
            yield from _commands(each, f"{name} {word}")


def _command_text(named: tuple[str, Any]) -> str:
    name, command = named
    given = [_metavar(each) for each in command.params if isinstance(each, TyperArgument)]
    words = " ".join([name, *(["[OPTIONS]"] if len(given) < len(command.params) else []), *given])
    rows = [
        (_spelling(each), _type_of_parameter(each), _default_of_parameter(each), each.help or "")
        for each in command.params
    ]
    return f"## {name}\n\n{prose(command.help or '')}\n\n```\n{words}\n```\n\n{table(PARAMETER_HEAD, rows)}"


def _metavar(argument: TyperArgument) -> str:
    name = f"{(argument.name or '').upper()}{'...' if argument.nargs < 0 else ''}"
    return name if argument.required else f"[{name}]"


def _spelling(parameter: Any) -> str:  # noqa: ANN401 - as above
    return f"`{_metavar(parameter)}`" if isinstance(parameter, TyperArgument) else f"`{', '.join(parameter.opts)}`"


def _type_of_parameter(parameter: Any) -> str:  # noqa: ANN401 - as above
    schema = TypeAdapter(parameter.type_descriptor.annotation).json_schema()
    limits = {"minimum": parameter.min, "maximum": parameter.max}
    known = {key: limit for key, limit in limits.items() if limit is not None}
    if parameter.type_descriptor.annotation is bool:
        return "flag"
    return ", ".join(filter(None, (type_of(schema).removeprefix("list of: "), bounds_of(known))))


def _default_of_parameter(parameter: Any) -> str:  # noqa: ANN401 - as above
    if parameter.required:
        return "**required**"
    return "" if parameter.default is None or parameter.default is False else f"`{parameter.default}`"


if __name__ == "__main__":
    main()
