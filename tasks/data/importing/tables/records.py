"""Read the records of CSV, TSV and JSONL files, one at a time; a faulty record does not end the file."""

import csv
import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from stillhouse.tasks.data.importing.sources.lines import LONGEST_LINE, expect_utf8, read_lines
from stillhouse.tasks.data.importing.tables.columns import ANY, Roles
from stillhouse.tasks.errors import DataError

DELIMITERS = {".csv": ",", ".tsv": "\t"}


class Record(NamedTuple):
    """One record of a file."""

    line: int
    """Number of its last line."""
    cells: Mapping[str, Any]
    reason: str = ""
    """Why it cannot be used."""


def read_roles(path: Path) -> Roles:
    """Read what each column may have: of a CSV or TSV file from its header, of a JSONL file from its first record.

    Raises:
        DataError: there is no header, or no record.
    """
    expect_utf8(path)
    if path.suffix.lower() in DELIMITERS:
        with _csv_rows(path) as rows:
            return dict.fromkeys(_header(path, rows), ANY)
    first = next(read_jsonl(path), None)
    if first is None or first.reason:
        why = "is empty" if first is None else "begins with a line that is no JSON object"
        msg = f"{path} {why}; give a JSON object with the same keys on every line"
        raise DataError(msg)
    return {name: _roles_of(value) for name, value in first.cells.items()}


def read_records(path: Path) -> Iterator[Record]:
    """Read the records of a CSV, TSV or JSONL file."""
    return read_csv(path) if path.suffix.lower() in DELIMITERS else read_jsonl(path)


def read_csv(path: Path) -> Iterator[Record]:
    """Read the records of a CSV or TSV file after its header.

    Raises:
        DataError: a quote is never closed.
    """
    with _csv_rows(path) as rows:
        header = _header(path, rows)
        start = rows.line_num
        while True:
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                _expect_closed(path, start + 1, error)
                yield Record(rows.line_num, {}, "its quotes do not fit; write a quote inside quotes twice")
            else:
                if cells:
                    yield Record(rows.line_num, dict(zip(header, cells, strict=False)), _misfit(header, cells))
            start = rows.line_num


def read_jsonl(path: Path) -> Iterator[Record]:
    """Read a JSON object from each line that is not blank."""
    for number, line in enumerate(read_lines(path), start=1):
        if line is None:
            yield Record(number, {}, f"the line has more than {LONGEST_LINE:,} bytes; give a shorter text")
        elif line.strip():
            yield _json_record(number, line)


def _json_record(number: int, line: bytes) -> Record:
    try:
        cells = json.loads(line.decode())
    except UnicodeDecodeError:
        return Record(number, {}, "the line is not valid UTF-8; save the file as UTF-8")
    except (ValueError, RecursionError):
        cells = None
    if not isinstance(cells, dict):
        return Record(number, {}, "the line is no JSON object; give one a line")
    return Record(number, cells)


def _roles_of(value: object) -> frozenset[str]:
    if isinstance(value, str) or value is None:
        return ANY
    return frozenset({"label"} if isinstance(value, int) else ())


@contextmanager
def _csv_rows(path: Path) -> Iterator[Any]:
    """Open a file as a reader of `csv`; it is closed at the end, also after an error."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    with closing(_decoded(path)) as lines:
        yield csv.reader(lines, delimiter=DELIMITERS[path.suffix.lower()], strict=True)


def _decoded(path: Path) -> Generator[str]:
    for number, line in enumerate(read_lines(path), start=1):
        if line is None:
            msg = f"line {number} of {path} has more than {LONGEST_LINE:,} bytes; give shorter lines"
            raise DataError(msg)
        yield line.decode("utf-8", "surrogateescape") + "\n"


def _header(path: Path, rows: Any) -> list[str]:  # noqa: ANN401 - csv's own type is private
    try:
        header = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        msg = f"the header of {path} cannot be read ({error}); give the names of the columns in the first line"
        raise DataError(msg) from error
    if not any(header):
        msg = f"{path} has no header; give the names of the columns in the first line"
        raise DataError(msg)
    for name in header:
        if header.count(name) > 1:
            msg = f"{path} has the column {name!r} twice; rename one of them"
            raise DataError(msg)
    return header


def _misfit(header: list[str], cells: list[str]) -> str:
    if len(cells) == len(header):
        return ""
    return f"it has {len(cells)} fields and the header has {len(header)}; put a field with a comma into quotes"


def _expect_closed(path: Path, line: int, error: csv.Error) -> None:
    if "unexpected end" in str(error) or "field larger" in str(error):
        msg = f"the quote that begins in line {line} of {path} or soon after it is never closed; close it"
        raise DataError(msg) from error
