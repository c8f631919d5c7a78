"""Choose the columns of a table that have the contents and the labels. If it is not clear, ask by name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stillhouse.tasks.data.importing.sources.source import NOUNS, Kind
from stillhouse.tasks.data.importing.wanted import LINES, Wanted
from stillhouse.tasks.errors import DataError

ANY = frozenset({"file", "text", "label"})
"""What a column of strings may have: paths of files, texts or labels.

A column of a known class has `class` too, and a column whose writer says that it has recordings has `audio`.
"""
PATHS = ("path", "file_name", "filename", "file")
KNOWN = {
    "image": ("image", *PATHS, "image_path", "img"),
    "audio": ("audio", *PATHS, "audio_path", "recording", "sound", "wav"),
    "text": ("text", "sentence", "texts", "sentences"),
    "label": ("label", "labels", "class", "category"),
}
KIND_OF_TASK: Mapping[str, Kind] = {"image-classification": "image", "audio-classification": "audio", LINES: "image"}
"""Task -> kind of its data. That of every other task is text."""
Roles = Mapping[str, Collection[str]]
"""Name of a column -> what it may have."""


@dataclass(frozen=True)
class Columns:
    """The columns that are read."""

    kind: Kind
    content: str
    label: str | None
    """Column of the labels, or of the texts of lines."""
    noun: str = "label"
    """What this column has."""

    @property
    def said(self) -> str:
        """Say which columns they are."""
        labels = f"{self.noun}s `{self.label}`" if self.label else "no labels"
        return f"column `{self.content}`, {labels}"


def choose_columns(name: str, roles: Roles, wanted: Wanted) -> Columns:
    """Choose the columns that the user names, or that have a usual name, or that alone fit.

    Args:
        name: of the table, for messages.
        roles: of each column.
        wanted: names columns and a task, or leaves both to the table.

    Raises:
        DataError: a column that is named does not fit, or several fit. The message names the option that decides.
    """
    kind = _kind(roles, wanted)
    label = _label(name, roles, wanted, kind)
    rest = {column: own for column, own in roles.items() if column != label}
    content = _text(name, rest, wanted) if kind == "text" else _file(name, rest, kind)
    return Columns(kind, content, label, "text" if wanted.task == LINES else "label")


def _kind(roles: Roles, wanted: Wanted) -> Kind:
    if wanted.task:
        return KIND_OF_TASK.get(wanted.task, "text")
    if wanted.text_column:
        return "text"
    sounds = {name for name in _usual(roles, "audio", "file") if name.strip().casefold() not in PATHS}
    if sounds or any("audio" in own for own in roles.values()):
        return "audio"
    return "image" if any(map(_is_file, roles.values())) or _usual(roles, "image", "file") else "text"


def _is_file(own: Collection[str]) -> bool:
    """Tell whether a column can have nothing but files."""
    return "file" in own and "text" not in own


def _usual(roles: Roles, known: str, role: str) -> list[str]:
    """Name the columns that have a usual name and may have the role."""
    return [column for column, own in roles.items() if role in own and column.strip().casefold() in KNOWN[known]]


def _label(name: str, roles: Roles, wanted: Wanted, kind: Kind) -> str | None:
    if wanted.task == "text-embedding":
        return None
    if wanted.task == LINES:
        return _text(name, roles, wanted)
    if wanted.label_column:
        return _named(name, roles, wanted.label_column, "label", "--label-column")
    only = [column for column, own in roles.items() if "class" in own]
    found = only if len(only) == 1 else _usual(roles, "label", "label") or only
    if len(found) == 1:
        return found[0]
    if not found and kind == "text" and wanted.task is None:
        return None
    msg = f"{name} has the columns {_listed(roles)}; name the one with the labels by --label-column"
    raise DataError(msg)


def _text(name: str, roles: Roles, wanted: Wanted) -> str:
    if wanted.text_column:
        return _named(name, roles, wanted.text_column, "text", "--text-column")
    fitting = [column for column, own in roles.items() if "text" in own]
    found = _usual(roles, "text", "text") or fitting
    if len(found) == 1:
        return found[0]
    if not fitting:
        msg = f"{name} has no column of texts or files ({_listed(roles)}); name another file"
        raise DataError(msg)
    msg = f"{name} has the columns {_listed(roles)}; name the one with the texts by --text-column"
    raise DataError(msg)


def _file(name: str, roles: Roles, kind: Kind) -> str:
    found = [column for column, own in roles.items() if _is_file(own)]
    found = found if len(found) == 1 else _usual(roles, kind, "file")
    if len(found) == 1:
        return found[0]
    msg = f"{name} has the columns {_listed(roles)}; call the one with the {NOUNS[kind]} `{kind}`, and no other `path`"
    raise DataError(msg)


def _named(name: str, roles: Roles, column: str, role: str, option: str) -> str:
    if column not in roles:
        msg = f"{name} has no column {column!r} for {option}; it has {_listed(roles)}"
        raise DataError(msg)
    if role not in roles[column]:
        msg = f"the column {column} of {name} has no {role}s by its type; name another by {option}"
        raise DataError(msg)
    return column


def _listed(roles: Roles) -> str:
    return ", ".join(repr(column)[:60] for column in roles) or "of none"
