"""The server of a production model, as a process of its own: it answers, refuses, and follows the champion."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from mlflow.tracking import MlflowClient
from PIL import Image
from registry_samples import MODEL, onnx_file, registered

from stillhouse.models.runtime.session import open_session
from stillhouse.tasks.registry.promote import Decision, promote
from stillhouse.tasks.registry.versions import CHAMPION, DIGEST, production_of

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION = production_of(MODEL)
ANN = Decision("ann", "better")
PIXELS = [[[9, 200], [30, 4]]]
SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A running server."""

    address: str
    process: subprocess.Popen[str]

    def ask(self, body: bytes, media_type: str) -> requests.Response:
        """Send a body."""
        return requests.post(f"{self.address}/answer", data=body, headers={"content-type": media_type}, timeout=10)

    def pixels(self, images: Any) -> requests.Response:
        """Send raw pixels."""
        return self.ask(json.dumps({"pixels": images}).encode(), "application/json")

    def get(self, path: str) -> dict[str, Any]:
        """Read one of the pages about the server."""
        found: dict[str, Any] = requests.get(f"{self.address}/{path}", timeout=10).json()
        return found


def started(*, wait: bool = True) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "stillhouse.tasks.cli", "serve", MODEL, "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=ROOT)
    if not wait:
        process.wait(SECONDS)
    return process


@pytest.fixture
def server(client: MlflowClient) -> Iterator[Server]:
    """Serve a first champion."""
    registered(client, 1)
    promote(MODEL, ANN)
    process = started()
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("tiny-production version 1 answers at http://127.0.0.1:"), line
    yield Server(line.rsplit(" ", 1)[-1].strip().removesuffix("/answer"), process)
    process.terminate()
    process.communicate()  # which closes its pipes


def expected(tmp_path: Path, seed: int, pixels: Any) -> int:
    session = open_session(onnx_file(tmp_path / "expected.onnx", seed))
    return int(session.run(None, {session.get_inputs()[0].name: np.asarray(pixels, np.uint8)})[0][0].argmax())


def test_pixels_and_pictures_are_answered(server: Server, tmp_path: Path) -> None:
    """Raw pixels and a PNG of the same picture get the class of the exported file, with its label and a version."""
    best = expected(tmp_path, 1, [PIXELS])
    answer = server.pixels([PIXELS, PIXELS]).json()
    assert [each["class"] for each in answer["answers"]] == [best, best]
    assert answer["answers"][0]["label"] == ["cat", "dog", "bird"][best]
    assert 0.3 < answer["answers"][0]["probability"] <= 1
    assert (answer["model"], answer["version"]) == (PRODUCTION, "1")
    stream = io.BytesIO()
    Image.fromarray(np.asarray(PIXELS[0], np.uint8)).save(stream, "PNG")
    assert server.ask(stream.getvalue(), "image/png").json()["answers"] == answer["answers"][:1]


def test_it_says_what_it_is(server: Server, client: MlflowClient) -> None:
    """Health, readiness, version, digest and opset can be asked for."""
    assert server.get("health") == {"status": "alive"}
    assert server.get("ready") == {"status": "ready", "problem": None}
    about = server.get("version")
    assert about["digest"] == client.get_model_version(PRODUCTION, "1").tags[DIGEST]
    assert (about["version"], about["opset"], about["takes"]) == ("1", 20, ["pixels", "image"])


REFUSED: list[tuple[bytes, str, int, str]] = [
    (b'{"pixels": [[[[1, 2, 3]]]]}', "application/json", 400, "do not fit; send whole numbers"),
    (b'{"pixels": [[[[1, 2], [3, 256]]]]}', "application/json", 400, "do not fit"),
    (b'{"pixels": [[[[1, 2], [3, 0.5]]]]}', "application/json", 400, "do not fit"),
    (b'{"pixels": [[[[1, 2], [3]]]]}', "application/json", 400, "do not fit"),
    (b'{"pixels": []}', "application/json", 400, "send 1 to 256"),
    (b'{"texts": ["a"]}', "application/json", 400, "tiny-production takes pixels, image, not text"),
    (b'{"pixels"', "application/json", 400, "the body is no JSON"),
    (b"[1]", "application/json", 400, "send one of pixels, texts"),
    (b"not a picture", "image/png", 400, "the picture cannot be read"),
    (b"\xff", "text/plain", 400, "no UTF-8"),
    (b"x", "application/x-tar", 415, "is not read; send application/json"),
    (b" " * (8 * 1024 * 1024 + 1), "application/json", 413, "larger than 8,388,608 bytes"),
]


def test_what_cannot_be_answered_gets_a_sentence(server: Server) -> None:
    """Wrong shapes, broken pictures, huge bodies and unknown kinds are refused, and the server goes on."""
    for body, media_type, status, sentence in REFUSED:
        reply = server.ask(body, media_type)
        assert (reply.status_code, sentence in reply.json()["error"]) == (status, True), (reply.text, sentence)
    assert server.pixels([PIXELS]).ok


def wait_for_version(server: Server, version: str) -> None:
    deadline = time.monotonic() + SECONDS
    while server.get("version")["version"] != version:
        assert time.monotonic() < deadline, server.get("ready")
        time.sleep(0.1)


def test_a_new_champion_is_taken_over_under_load(server: Server, client: MlflowClient, tmp_path: Path) -> None:
    """While requests come in the alias moves: every one is answered, by the old version or the new one, rightly."""
    best = {"1": expected(tmp_path, 1, [PIXELS]), "2": expected(tmp_path, 2, [PIXELS])}
    seen: list[tuple[int, str, int]] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            reply = server.pixels([PIXELS])
            seen.append((reply.status_code, reply.json()["version"], reply.json()["answers"][0]["class"]))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    registered(client, 2)
    promote(MODEL, ANN)
    wait_for_version(server, "2")
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _, _ in seen} == {200}
    assert {version for _, version, _ in seen} == {"1", "2"}
    assert all(answer == best[version] for _, version, answer in seen)


def test_a_champion_that_is_not_whole_is_not_taken_over(server: Server, client: MlflowClient) -> None:
    """An alias moved by hand to a version of another digest leaves the old one answering, and /ready says why."""
    version = client.get_model_version(PRODUCTION, "1")
    tags = version.tags | {DIGEST: "0" * 64}
    client.create_model_version(PRODUCTION, version.source, version.run_id, tags=tags)
    client.set_registered_model_alias(PRODUCTION, CHAMPION, "2")
    deadline = time.monotonic() + SECONDS
    while (found := server.get("ready"))["status"] == "ready":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "not the judged file 0000" in found["problem"]
    assert server.pixels([PIXELS]).json()["version"] == "1"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"opset": 13}, "model.onnx is of opset 13, this server knows 17 to 25; export it again"),
        ({"takes": "pictures"}, "says that it takes pictures, and takes images_NCHW; register it again"),
    ],
)
def test_what_does_not_check_is_not_served(client: MlflowClient, options: dict[str, Any], sentence: str) -> None:
    """A version of an unknown opset, or with a signature that is not its own, ends the command with a sentence."""
    registered(client, 1, **options)
    promote(MODEL, ANN)
    with started(wait=False) as process:
        assert process.stderr is not None
        assert process.returncode == 1
        assert sentence in process.stderr.read()


def test_without_a_champion_there_is_nothing_to_serve(client: MlflowClient) -> None:
    """A model that nobody promoted is named."""
    del client
    with started(wait=False) as process:
        assert process.stderr is not None
        told = process.stderr.read()
    assert told.strip().endswith("has no version with the alias champion; promote one")
