"""Make a row of a source from the cells of a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stillhouse.tasks.data.importing.sources.source import ONE, Row, resolve_inside, safe_id
from stillhouse.tasks.data.importing.tables.columns import Columns
from stillhouse.tasks.errors import DataError


def row_of(
    cells: Mapping[str, Any], place: str, columns: Columns, root: Path, names: Sequence[str] | None = None
) -> Row:
    """Make a row. If a cell cannot be used, the row says why.

    Args:
        cells: column -> value: a string, bytes, a number, a mapping with `bytes` and `path`, or None.
        place: file and number of the line or row.
        columns: the columns that are read.
        root: the table's folder, resolved. Paths of files are relative to it.
        names: names of the classes by number, if the labels are numbers of them.
    """
    try:
        label = _label(cells.get(columns.label), names, columns.noun) if columns.label else ""
        content = cells.get(columns.content)
        if columns.kind == "text":
            return Row(place, _text(content, columns.content), label)
        return _file(content, place, label, root, ONE[columns.kind])
    except DataError as error:
        return Row(place, None, "", str(error))


def _text(content: Any, column: str) -> str | bytes:  # noqa: ANN401 - a cell has any type
    if not isinstance(content, (str, bytes)):
        said = "nothing" if content is None else type(content).__name__
        msg = f"its {column} has {said} instead of a text; give a text"
        raise DataError(msg)
    return content


def _file(content: Any, place: str, label: str, root: Path, noun: str) -> Row:  # noqa: ANN401 - a cell has any type
    if isinstance(content, Mapping):
        content = content.get("bytes") or content.get("path")
    if isinstance(content, bytes):
        return Row(place, content, label)
    if not content or not isinstance(content, str):
        msg = f"it has no {noun}; give the path of a {noun} or its bytes"
        raise DataError(msg)
    own = f"{safe_id(content)[:500]} ({place})"
    try:
        return Row(own, resolve_inside(root, content, noun), label)
    except DataError as error:
        return Row(own, None, label, str(error))


def _label(value: Any, names: Sequence[str] | None, noun: str) -> str:  # noqa: ANN401 - a cell has any type
    if names is not None and isinstance(value, int):
        if not 0 <= value < len(names):
            msg = f"its label {value} is outside of the {len(names)} names of its classes; mend the label"
            raise DataError(msg)
        return names[value]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if value is None or value == "":
        msg = f"it has no {noun}; give it one"
        raise DataError(msg)
    if not isinstance(value, (str, int)):
        msg = f"its {noun} {str(value)[:40]} is neither a name nor a whole number; give it one"
        raise DataError(msg)
    label = str(value)
    if label != safe_id(label):
        msg = f"its {noun} is not valid UTF-8; save the file as UTF-8"
        raise DataError(msg)
    return label
