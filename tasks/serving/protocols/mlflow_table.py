"""MLflow's scoring protocol: a table to `/invocations` (mlflow.org/docs/latest/deployment). Files are base64."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from stillhouse.tasks.serving.bodies import JSON, Refusal, kind_of, parse_json
from stillhouse.tasks.serving.protocols.asked import Asked, chosen_kind, inputs_of
from stillhouse.tasks.serving.served import Answer, Served

Columns = dict[str, list[Any]]


class MlflowTable:
    """`POST /invocations`."""

    def read(self, headers: Mapping[str, str], content: bytes, taken: Collection[str]) -> Asked:
        """Read a table in one of the four forms of MLflow."""
        if kind_of(headers.get("content-type", ""), headers.get("content-encoding", "")) != JSON:
            raise Refusal(415, "/invocations reads application/json only; send a table as JSON")
        given = parse_json(content)
        named = [name for name in FORMS if name in given]
        if len(named) != 1 or set(given) - {*named, "params"}:
            raise Refusal(400, f"the body is no table; send one of {', '.join(FORMS)}")
        try:
            columns = FORMS[named[0]](given[named[0]])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            msg = (
                f"{named[0]} is no table ({type(error).__name__}: {error}); look up the form in MLflow's documentation"
            )
            raise Refusal(400, msg) from error
        kind = chosen_kind(columns, taken)
        return Asked(kind, inputs_of(kind, columns))

    def write(self, served: Served, asked: Asked, answers: Sequence[Answer]) -> dict[str, Any]:  # noqa: ARG002
        """Return the answers as rows of a table."""
        return {"predictions": list(answers)}


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
