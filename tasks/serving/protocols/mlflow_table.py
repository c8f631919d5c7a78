"""MLflow's scoring protocol: a table to `/invocations` (mlflow.org/docs/latest/deployment). Files are base64."""

import csv
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any

from stillhouse.tasks.serving.bodies import JSON, LARGEST, MOST_PARTS, Refusal, kind_of, parse_json
from stillhouse.tasks.serving.protocols.asked import Asked, chosen_kind, inputs_of
from stillhouse.tasks.serving.served import MOST_AT_ONCE, Answer, Served

Columns = dict[str, list[Any]]
CSV = "text/csv"
SHOWN = 80
"""Characters of a wrong CSV's first line that its refusal shows."""


class MlflowTable:
    """`POST /invocations`."""

    def read(self, headers: Mapping[str, str], content: bytes, taken: Collection[str]) -> Asked:
        """Read a table: a CSV, or JSON in one of the four forms of MLflow."""
        media_type = headers.get("content-type", "")
        name = media_type.partition(";")[0].strip().lower()
        if name not in {CSV, JSON}:
            raise Refusal(415, f"/invocations reads {JSON} and {CSV} only; send a table as one of them")
        kind_of(media_type, headers.get("content-encoding", ""))  # refuses another charset or encoding
        columns = _csv(content, taken) if name == CSV else _json(content)
        kind = chosen_kind(columns, taken)
        return Asked(kind, inputs_of(kind, columns))

    def write(self, served: Served, asked: Asked, answers: Sequence[Answer]) -> dict[str, Any]:  # noqa: ARG002
        """Return the answers as rows of a table."""
        return {"predictions": list(answers)}


def _csv(content: bytes, taken: Collection[str]) -> Columns:
    """Return the columns that are inputs. Others are left out, as MLflow's own server does."""
    names, *rows = _lines(content) or [[]]
    if not set(names) & set(taken):
        said, known = ",".join(names)[:SHOWN], " or ".join(taken)
        raise Refusal(400, f"the first line of the CSV is {said!r}; name a column of inputs there: {known}")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            said = f"row {number} of the CSV has {len(row)} values, and the first line has {len(names)}"
            raise Refusal(400, f"{said}; put a text with a comma in quotes")
    return {name: [row[names.index(name)] for row in rows] for name in names if name in taken}


def _lines(content: bytes) -> list[list[str]]:
    """Return the first line of a CSV and its rows, at most one more than a request may have.

    MLflow reads a CSV by pandas. Pandas needs minutes for a first line of millions of columns, so it is not used here.
    """
    if content.count(b",") > MOST_PARTS:
        raise Refusal(413, f"the CSV has more than {MOST_PARTS:,} commas; send less at once")
    csv.field_size_limit(LARGEST)  # of the whole process, and other libraries change it too
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        return list(islice((line for line in lines if line), MOST_AT_ONCE + 2))
    except (csv.Error, UnicodeDecodeError) as error:
        said = f"the body is no CSV in UTF-8 ({error})"
        raise Refusal(400, f"{said}; send what pandas.DataFrame.to_csv writes, or JSON") from error


def _json(content: bytes) -> Columns:
    given = parse_json(content)
    named = [name for name in FORMS if name in given]
    if len(named) != 1 or set(given) - {*named, "params"}:
        raise Refusal(400, f"the body is no table; send one of {', '.join(FORMS)}")
    try:
        return FORMS[named[0]](given[named[0]])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        msg = f"{named[0]} is no table ({type(error).__name__}: {error}); look up the form in MLflow's documentation"
        raise Refusal(400, msg) from error


def _split(table: Mapping[str, Any]) -> Columns:
    columns, rows = table["columns"], table["data"]
    return {name: [row[place] for row in rows] for place, name in enumerate(columns)}


def _records(rows: Sequence[Mapping[str, Any]]) -> Columns:
    names = dict.fromkeys(name for row in rows for name in row.keys())  # noqa: SIM118 - a list has none
    return {name: [row[name] for row in rows] for name in names}


def _columns(table: Any) -> Columns:  # noqa: ANN401 - one of two forms
    if isinstance(table, list):
        return _records(table)
    return {name: values if isinstance(values, list) else [values] for name, values in table.items()}


FORMS: Mapping[str, Callable[[Any], Columns]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "inputs": _columns,
    "instances": _columns,
}
"""Name of a form -> function that gives its columns."""
