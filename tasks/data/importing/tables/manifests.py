"""Read pictures or texts that a CSV, TSV or JSONL file lists."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from stillhouse.tasks.data.importing.sources.source import NOUNS, Row, Source, safe_id
from stillhouse.tasks.data.importing.tables.cells import row_of
from stillhouse.tasks.data.importing.tables.columns import Columns, choose_columns
from stillhouse.tasks.data.importing.tables.records import read_records, read_roles
from stillhouse.tasks.data.importing.wanted import Wanted


def open_manifest(path: Path, wanted: Wanted) -> Source:
    """Take each record as a picture or a text. Paths of pictures are relative to the file's folder.

    Raises:
        DataError: the file has no header, or it is not clear which columns are meant.
    """
    name = safe_id(path.name)
    columns = choose_columns(name, read_roles(path), wanted)
    read_as = f"{NOUNS[columns.kind]} from {name}: {columns.said}"
    rows = partial(_rows, path, name, columns)
    return Source(name, columns.kind, read_as, rows, labelled=columns.label is not None)


def _rows(path: Path, name: str, columns: Columns) -> Iterator[Row]:
    root = path.parent.resolve()
    for record in read_records(path):
        place = f"{name}:{record.line}"
        yield Row(place, None, "", record.reason) if record.reason else row_of(record.cells, place, columns, root)
