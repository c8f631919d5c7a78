"""Choose the columns of a table that have the pictures or texts, and the labels. If it is not clear, ask by name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from stillhouse.tasks.data.importing.sources.source import Kind
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError

ANY = frozenset({"image", "text", "label"})
"""What a column of strings may have: paths of pictures, texts or labels. A column of a known class has `class` too."""
KNOWN = {
    "image": ("image", "path", "file_name", "filename", "file", "image_path", "img"),
    "text": ("text", "sentence", "texts", "sentences"),
    "label": ("label", "labels", "class", "category"),
}
Roles = Mapping[str, Collection[str]]
"""Name of a column -> what it may have."""


@dataclass(frozen=True)
class Columns:
    """The columns that are read."""

    kind: Kind
    content: str
    label: str | None

    @property
    def said(self) -> str:
        """Say which columns they are."""
        labels = f"labels `{self.label}`" if self.label else "no labels"
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
    content = _text(name, rest, wanted) if kind == "text" else _image(name, rest)
    return Columns(kind, content, label)


def _kind(roles: Roles, wanted: Wanted) -> Kind:
    if wanted.task:
        return "image" if wanted.task == "image-classification" else "text"
    if wanted.text_column:
        return "text"
    pictures = any(own == {"image"} for own in roles.values()) or _usual(roles, "image")
    return "image" if pictures else "text"


def _usual(roles: Roles, role: str) -> list[str]:
    return [column for column, own in roles.items() if role in own and column.strip().casefold() in KNOWN[role]]


def _label(name: str, roles: Roles, wanted: Wanted, kind: Kind) -> str | None:
    if wanted.task == "text-embedding":
        return None
    if wanted.label_column:
        return _named(name, roles, wanted.label_column, "label", "--label-column")
    only = [column for column, own in roles.items() if "class" in own]
    found = only if len(only) == 1 else _usual(roles, "label") or only
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
    found = _usual(roles, "text") or fitting
    if len(found) == 1:
        return found[0]
    if not fitting:
        msg = f"{name} has no column of texts or pictures ({_listed(roles)}); name another file"
        raise DataError(msg)
    msg = f"{name} has the columns {_listed(roles)}; name the one with the texts by --text-column"
    raise DataError(msg)


def _image(name: str, roles: Roles) -> str:
    found = [column for column, own in roles.items() if own == {"image"}]
    found = found if len(found) == 1 else _usual(roles, "image")
    if len(found) == 1:
        return found[0]
    msg = f"{name} has the columns {_listed(roles)}; call the one with the pictures `image`, and no other `path`"
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
