"""Ask a server through each of its protocols, by standard clients, and MLflow's own server beside it."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import mlflow
import numpy as np
import requests
import tritonclient.http as triton
from mlflow.pyfunc import scoring_server
from starlette.testclient import TestClient

Answer = dict[str, Any]


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


def ask_table(address: str, kind: str, inputs: Sequence[Any]) -> list[Answer]:
    """Ask by a table."""
    place = f"{urlsplit(address).scheme}://{urlsplit(address).netloc}"
    found: list[Answer] = requests.post(f"{place}/invocations", json=table_of(kind, inputs), timeout=30).json()[
        "predictions"
    ]
    return found


def ask_mlflow(uri: str, kind: str, inputs: Sequence[Any]) -> list[Answer]:
    """Ask MLflow's own server of a logged model."""
    client = TestClient(scoring_server.init(mlflow.pyfunc.load_model(uri)))
    reply = client.post("/invocations", json=table_of(kind, inputs))
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
    """Check that every client gets the same answers."""
    assert ask_triton(place.address, place.model, kind, inputs) == expected
    assert ask_table(place.address, kind, inputs) == expected
    assert ask_mlflow(place.uri, kind, inputs) == expected
