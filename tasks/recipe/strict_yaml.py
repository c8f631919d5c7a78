"""Read YAML by the 1.2 core schema, for files that people write. Ambiguous text is refused, not guessed.

PyYAML by itself reads YAML 1.1 (`yes` is true, `012` is ten), and the last of two equal keys wins. Here a key may
occur only once, tags are refused, and size, depth and the expansion of aliases are bounded. This module knows nothing
about recipes.
"""

import re
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import BaseConstructor
from yaml.error import MarkedYAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

MOST_CHARACTERS = 64 * 1024
MOST_LEVELS = 20
"""Maximum depth of nested lists and mappings."""
MOST_VALUES = 10_000
"""Maximum number of values, including the values that aliases repeat."""
MOST_DIGITS = 40
_TAG = "tag:yaml.org,2002:"
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\ufffe\uffff]")


class YamlError(ValueError):
    """Text that this module refuses. The message gives the line and the remedy."""


def read_yaml(text: str) -> object:
    """Read one YAML document. All keys of mappings are strings.

    Raises:
        YamlError: the text is too large, is not YAML, or is ambiguous. The message gives the line and the remedy.
    """
    if len(text) > MOST_CHARACTERS:
        msg = f"has {len(text)} characters where {MOST_CHARACTERS} are read; shorten it"
        raise YamlError(msg)
    try:
        content: object = _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise YamlError(_sentence(error)) from error
    except Exception as error:  # PyYAML raises ValueError, IndexError and more for some malformed escapes
        msg = f"is not YAML ({type(error).__name__}: {_one_line(error)}); mend or remove what it does not read"
        raise YamlError(msg) from error
    return content


def _sentence(error: yaml.YAMLError) -> str:
    if isinstance(error, _RefusedError):
        return f"{error.problem} in line {_line(error.problem_mark)}; {error.note}"
    return f"is not YAML ({_one_line(error)}); mend that line"


def _line(mark: Any) -> int:  # noqa: ANN401 - PyYAML has two kinds
    return mark.line + 1 if mark else 1


def _one_line(error: Exception) -> str:
    return " ".join(str(error).replace('"<unicode string>", ', "").split())


class _RefusedError(MarkedYAMLError):
    """YAML that the specification allows and this module refuses."""

    def __init__(self, problem: str, mark: Any, remedy: str) -> None:  # noqa: ANN401 - as above
        super().__init__(problem=problem, problem_mark=mark, note=remedy)


class _Loader(Reader, Scanner, Parser, Composer, BaseConstructor, BaseResolver):
    """Build None, booleans, numbers, strings, lists and dicts from one document."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseConstructor.__init__(self)
        BaseResolver.__init__(self)
        self._levels = 0
        self._sizes: dict[int, int] = {}
        """Id of a finished node -> number of values in it, with all values inside it."""

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:  # noqa: ANN401 - as PyYAML's
        """Compose one node, within the bounds."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "tag", None) is not None:
            problem = f"has the tag {event.tag}"
            raise _RefusedError(problem, event.start_mark, "remove the tag, none is read")
        if isinstance(event, yaml.AliasEvent) and event.anchor in self.anchors:
            self._refuse_alias_of_itself(event)
        if self._levels == MOST_LEVELS:
            problem = f"nests lists or mappings deeper than {MOST_LEVELS}"
            raise _RefusedError(problem, event.start_mark, "write it flatter")
        self._levels += 1
        node: Node | None = super().compose_node(parent, index)
        self._levels -= 1
        if node is not None:
            self._count(node)
        return node

    def _refuse_alias_of_itself(self, event: yaml.AliasEvent) -> None:
        if id(self.anchors[event.anchor]) not in self._sizes:
            problem = f"has the alias *{event.anchor} inside what it stands for"
            raise _RefusedError(problem, event.start_mark, "write the value out")

    def _count(self, node: Node) -> None:
        children: list[Any] = []
        if isinstance(node, SequenceNode):
            children = list(node.value)
        elif isinstance(node, MappingNode):
            children = [each for pair in node.value for each in pair]
        self._sizes[id(node)] = 1 + sum(self._sizes.get(id(child), 1) for child in children)
        if self._sizes[id(node)] > MOST_VALUES:
            problem = f"has more than {MOST_VALUES} values, with those that aliases repeat,"
            raise _RefusedError(problem, node.start_mark, "shorten it")

    def construct_plain(self, node: ScalarNode) -> str:
        """Return a string. Control characters are refused."""
        if found := _CONTROL.search(node.value):
            problem = f"has the control character U+{ord(found[0]):04X} in a string"
            raise _RefusedError(problem, node.start_mark, "remove it")
        return str(node.value)

    def construct_whole(self, node: ScalarNode) -> int:
        """Return an integer: decimal, 0o17 or 0x1f."""
        if len(node.value) > MOST_DIGITS:
            problem = f"has a number of {len(node.value)} digits"
            raise _RefusedError(problem, node.start_mark, "write a smaller one")
        text = str(node.value)
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)

    def construct_real(self, node: ScalarNode) -> float:
        """Return a number with a point or an exponent."""
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def construct_list(self, node: SequenceNode) -> list[object]:
        """Return a list."""
        return [self.construct_object(child, deep=True) for child in node.value]

    def construct_dict(self, node: MappingNode) -> dict[str, object]:
        """Return a dict. Every key is a string and occurs once."""
        content: dict[str, object] = {}
        for name, value in node.value:
            key = self._key(name)
            if key in content:
                problem = f"has the key {key!r} twice, the second time"
                raise _RefusedError(problem, name.start_mark, "keep one of the two")
            content[key] = self.construct_object(value, deep=True)
        return content

    def _key(self, node: Node) -> str:
        if isinstance(node, ScalarNode) and node.tag == f"{_TAG}str":
            if node.value == "<<" and node.style is None:
                problem = "has the merge key <<"
                raise _RefusedError(problem, node.start_mark, "YAML 1.2 has none, so write the keys out")
            return self.construct_plain(node)
        found = node.value if isinstance(node, ScalarNode) else "a list or mapping"
        problem = f"has the key {found or 'null'}, which is no text,"
        raise _RefusedError(problem, node.start_mark, "name a key there")


def _null(_loader: _Loader, _node: ScalarNode) -> None:
    return None


def _boolean(_loader: _Loader, node: ScalarNode) -> bool:
    return str(node.value).lower() == "true"


# Patterns of plain scalars in the core schema: https://yaml.org/spec/1.2.2/#103-core-schema
for _name, _pattern, _first in (
    ("null", r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))", list("-+.")),
):
    _Loader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"{_pattern}\Z"), _first)
_CONSTRUCTORS: dict[str, Any] = {
    "null": _null,
    "bool": _boolean,
    "int": _Loader.construct_whole,
    "float": _Loader.construct_real,
    "str": _Loader.construct_plain,
    "seq": _Loader.construct_list,
    "map": _Loader.construct_dict,
}
for _name, _construct in _CONSTRUCTORS.items():
    _Loader.add_constructor(f"{_TAG}{_name}", _construct)
