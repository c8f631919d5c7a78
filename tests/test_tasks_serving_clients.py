"""Standard clients of a served champion: Triton's, MLflow's tables, and a scraper of Prometheus."""

import base64
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tritonclient.http as triton
from mlflow.tracking import MlflowClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from registry_samples import MODEL, registered
from tritonclient.utils import np_to_triton_dtype

from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import production_of

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION = production_of(MODEL)
PIXELS = np.array([[[[9, 200], [30, 4]]]], np.uint8)


def picture() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS[0, 0]).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(params=["1", "2"])
def address(client: MlflowClient, request: pytest.FixtureRequest) -> Iterator[str]:
    """Serve a champion by one process and by two."""
    registered(client, 1)
    promote(MODEL, Decision("ann", "better"))
    command = [
        sys.executable,
        "-m",
        "stillhouse.tasks.cli",
        "serve",
        MODEL,
        "--port",
        "0",
        "--processes",
        request.param,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    assert process.stdout is not None
    line = process.stdout.readline()
    yield line.rsplit(" ", 1)[-1].strip().removesuffix("/answer")
    process.terminate()
    process.communicate()


def answers(address: str) -> list[dict[str, Any]]:
    """Ask the server's own protocol for the same picture."""
    reply = requests.post(f"{address}/answer", data=picture(), headers={"content-type": "image/png"}, timeout=10)
    found: list[dict[str, Any]] = reply.json()["answers"]
    return found


def scraped(address: str) -> dict[tuple[str, ...], float]:
    """Scrape the metrics. Returns name and labels -> value."""
    reply = requests.get(f"{address}/metrics", timeout=10)
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(reply.text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_each_standard_client_gets_the_same_answers(address: str) -> None:
    """Triton's client, with raw tensors and with JSON, and a table of MLflow agree with the own protocol."""
    (expected,) = answers(address)
    with triton.InferenceServerClient(address.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(PRODUCTION, "1")
        described = client.get_model_metadata(PRODUCTION)
        assert described["inputs"] == [
            {"name": "pixels", "datatype": "UINT8", "shape": [-1, 1, 2, 2]},
            {"name": "image", "datatype": "BYTES", "shape": [-1]},
        ]
        assert [each["name"] for each in described["outputs"]] == list(expected)
        for binary in (True, False):
            pixels = triton.InferInput("pixels", PIXELS.shape, "UINT8")
            pixels.set_data_from_numpy(PIXELS, binary_data=binary)
            found = client.infer(PRODUCTION, [pixels], model_version="1")
            assert {name: found.as_numpy(name)[0] for name in expected} == expected
        image = triton.InferInput("image", [1], "BYTES")
        image.set_data_from_numpy(np.array([picture()], object))
        found = client.infer(PRODUCTION, [image], outputs=[triton.InferRequestedOutput("class")])
        assert found.as_numpy("class").tolist() == [expected["class"]]
        with pytest.raises(triton.InferenceServerException, match="there is no model cats; this server has tiny-prod"):
            client.infer("cats", [image])
        with pytest.raises(triton.InferenceServerException, match="version 9 is not served"):
            client.infer(PRODUCTION, [image], model_version="9")
    table = {"dataframe_records": [{"image": base64.b64encode(picture()).decode()}]}
    assert requests.post(f"{address}/invocations", json=table, timeout=10).json() == {"predictions": [expected]}
    assert requests.get(f"{address}/ping", timeout=10).ok


def test_a_scrape_counts_the_requests_of_all_processes(address: str) -> None:
    """Requests are counted by protocol and status, pages about the server are not, and the version is named."""
    for _ in range(20):
        answers(address)
    requests.post(f"{address}/answer", data=b"no picture", headers={"content-type": "image/png"}, timeout=10)
    requests.get(f"{address}/health", timeout=10)
    deadline = time.monotonic() + 10
    while (found := scraped(address)).get(("stillhouse_request_seconds_count", "answer")) != 20:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found["stillhouse_requests_total", "answer", "200"] == 20
    assert found["stillhouse_requests_total", "answer", "400"] == 1
    assert {name[1] for name in found if name[0] == "stillhouse_requests_total"} == {"answer"}
    assert [name[2:] for name in found if name[0] == "stillhouse_model_info"] == [(PRODUCTION, "1")]
    assert found["stillhouse_behind",] == 0


def test_a_scrape_while_the_champion_moves_names_one_version(address: str, client: MlflowClient) -> None:
    """Every scrape names exactly one version, the old one and then the new one, and no request is forgotten."""
    registered(client, 2)
    promote(MODEL, Decision("ann", "better"))
    seen: list[str] = []
    deadline = time.monotonic() + 30
    while seen[-3:] != ["2"] * 3:
        answers(address)
        (version,) = [name[3] for name in scraped(address) if name[0] == "stillhouse_model_info"]
        seen.append(version)
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert set(seen) <= {"1", "2"}
    while scraped(address).get(("stillhouse_requests_total", "answer", "200")) != len(seen):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_client_of_another_protocol_is_told_the_paths(address: str) -> None:
    """The sentence names what the server speaks."""
    paths = ("/v1/models/tiny:predict", "/v2/models/tiny/predict", "/v3/models/tiny/infer", "/v2/repository/index")
    for method, path in (*(("POST", path) for path in paths), ("GET", "/v1/models/tiny")):
        reply = requests.request(method, f"{address}{path}", json={"instances": []}, timeout=10)
        assert (reply.status_code, "/v2/models/{name}/infer" in reply.json()["error"]) == (404, True)


def test_a_tensor_of_another_datatype_or_shape_is_refused(address: str) -> None:
    """Triton's client gets a sentence, the refusals are counted, and the server goes on."""
    wrong = {
        "pixels do not fit": ("pixels", PIXELS.astype(np.float32)),
        "do not fit; send whole numbers": ("pixels", np.zeros((1, 1, 2, 3), np.uint8)),
        "the input image is UINT8 of shape .1, 4.; send BYTES": ("image", np.zeros((1, 4), np.uint8)),
        "the input image is BYTES of shape .1, 2.; send BYTES": ("image", np.array([[picture()] * 2], object)),
    }
    with triton.InferenceServerClient(address.removeprefix("http://")) as client:
        for sentence, (name, values) in wrong.items():
            tensor = triton.InferInput(name, values.shape, np_to_triton_dtype(values.dtype))
            tensor.set_data_from_numpy(values)
            with pytest.raises(triton.InferenceServerException, match=sentence):
                client.infer(PRODUCTION, [tensor])
    assert scraped(address)["stillhouse_requests_total", "v2", "400"] == len(wrong)
    assert answers(address)
