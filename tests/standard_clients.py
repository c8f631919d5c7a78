"""Ask a server through each of its protocols, by standard clients, and MLflow's own server beside it."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import mlflow
import numpy as np
import pandas as pd
import tritonclient.http as triton
from mlflow.pyfunc import scoring_server
from starlette.testclient import TestClient

Answer = dict[str, Any]
SECONDS = 30.0


def ask_triton(address: str, model: str, kind: str, inputs: Sequence[Any]) -> list[Answer]:
    """Ask by Triton's client. Texts and files are raw elements of BYTES."""
    tensor = triton.InferInput(kind, [len(inputs)], "BYTES")
    tensor.set_data_from_numpy(np.array([each.encode() if isinstance(each, str) else each for each in inputs], object))
    with triton.InferenceServerClient(urlsplit(address).netloc) as client:
        found = client.infer(model, [tensor])
        columns = {each["name"]: found.as_numpy(each["name"]).tolist() for each in found.get_response()["outputs"]}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def table_of(kind: str, inputs: Sequence[Any]) -> dict[str, Any]:
    """Write a table for MLflow's protocol."""
    values = [each if isinstance(each, str) else base64.b64encode(each).decode() for each in inputs]
    return {"dataframe_split": {"columns": [kind], "data": [[value] for value in values]}}


def csv_of(kind: str, inputs: Sequence[Any]) -> bytes:
    """Write a CSV as pandas does it, with a column of row numbers before the inputs."""
    stream = io.StringIO()
    pd.DataFrame({kind: list(inputs)}).to_csv(stream)
    return stream.getvalue().encode()


def ask_table(client: httpx.Client, **body: Any) -> list[Answer]:
    """Ask by a table."""
    reply = client.post("/invocations", **body)
    assert reply.status_code == 200, reply.text
    found: list[Answer] = reply.json()["predictions"]
    return found


@dataclass(frozen=True)
class Place:
    """Where a model answers: at a server, under a name, and as a logged model of MLflow."""

    address: str
    model: str
    uri: str


def expect_same(place: Place, kind: str, inputs: Sequence[Any], expected: list[Answer]) -> None:
    """Check that every client gets the same answers. Texts also fit a CSV."""
    assert ask_triton(place.address, place.model, kind, inputs) == expected
    tables: list[dict[str, Any]] = [{"json": table_of(kind, inputs)}]
    if kind == "text":
        tables.append({"content": csv_of(kind, inputs), "headers": {"content-type": "text/csv"}})
    mlflows = TestClient(scoring_server.init(mlflow.pyfunc.load_model(place.uri)))
    with httpx.Client(base_url=place.address.removesuffix("/answer"), timeout=SECONDS) as own:
        for table in tables:
            assert ask_table(own, **table) == expected
            assert ask_table(mlflows, **table) == expected
