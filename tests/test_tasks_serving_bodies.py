"""Whatever a body holds: bounded time and memory, the right status, one sentence, and the server goes on."""

import asyncio
import io
import json
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import requests
import soundfile
import uvicorn
from onnx_encoders import ENCODERS, bundle_of, encoder
from PIL import Image
from registry_samples import onnx_file
from starlette.applications import Starlette

from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.image_classification.runtime import ImageClassification
from stillhouse.models.workloads.retrieval.runtime import Retrieval
from stillhouse.tasks.serving.app import build
from stillhouse.tasks.serving.bodies import LARGEST
from stillhouse.tasks.serving.load_generator import Exported
from stillhouse.tasks.serving.protocols.asked import is_light
from stillhouse.tasks.serving.served import Served
from stillhouse.tasks.serving.server import listen

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of broken notes
MUTATED, LONG = 60, 10_000
"""Bodies of each kind; `make test LONG=1` tries more."""
JSON = "application/json"
PIXELS = {"pixels": [[[[9, 200], [30, 4]]]]}


def application(answers: Any) -> Starlette:
    return build(Exported(Served("tiny", "1", "0" * 64, 20, answers)))


def served(folder: Path) -> Any:
    """Open a folder of encoders for the server."""
    return Retrieval().serve(bundle_of(folder), ())


class Asker:
    """Asks an application in this process."""

    def __init__(self, served: Starlette) -> None:
        self.transport = httpx.ASGITransport(served, raise_app_exceptions=False)

    def ask(self, body: Any, media_type: str, **headers: str) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=self.transport, base_url="http://x") as client:
                return await client.post("/answer", content=body, headers={"content-type": media_type} | headers)

        return asyncio.run(once())


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    """Answer sentences, pictures and recordings."""
    folder = tmp_path_factory.mktemp("towers")
    for name, (port, kind, shape) in ENCODERS.items():
        encoder(folder / f"{name}.onnx", port, kind, shape)
    return Asker(application(served(folder)))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Asker:
    """Answer pixels and pictures of two by two."""
    path = onnx_file(tmp_path_factory.mktemp("file") / "model.onnx", 1)
    return Asker(application(ImageClassification().serve(open_bundle(path), ["cat", "dog", "bird"])))


def picture(kind: str = "PNG", size: tuple[int, int] = (24, 16)) -> bytes:
    stream = io.BytesIO()
    Image.effect_noise(size, 90).save(stream, kind)
    return stream.getvalue()


def recording(kind: str = "WAV", subtype: str | None = None, seconds: float = 0.4) -> bytes:
    stream = io.BytesIO()
    time_T = np.arange(round(seconds * 16_000)) / 16_000
    soundfile.write(stream, 0.5 * np.sin(2800 * time_T), 16_000, format=kind, subtype=subtype)
    return stream.getvalue()


def nested(depth: int) -> bytes:
    return b'{"pixels": ' + b"[" * depth + b"]" * depth + b"}"


TEXTS: list[tuple[bytes, str, int, str]] = [
    (b'{"texts": [null]}', JSON, 400, "the sentence None is no text; give a string"),
    (b'{"texts": ["a", 5]}', JSON, 400, "the sentence 5 is no text"),
    (b'{"texts": [["a"]]}', JSON, 400, "is no text"),
    (b'{"texts": [{"a": 1}]}', JSON, 400, "is no text"),
    (b'{"texts": [true]}', JSON, 400, "the sentence True is no text"),
    (b'{"texts": "a"}', JSON, 400, "no object of one list"),
    (b'{"texts": []}', JSON, 400, "send 1 to 256"),
    (b'{"texts": ["a"], "texts": ["b"]}', JSON, 400, "a key stands twice"),
    (b'{"texts": [NaN]}', JSON, 400, "NaN is no number"),
    (b'{"texts": [-Infinity]}', JSON, 400, "-Infinity is no number"),
    (b'{"texts": ["\\ud800"]}', JSON, 400, "is empty; give at least one visible character"),
    (b'{"texts": ["\\u200b\\u200b"]}', JSON, 400, "is empty"),
    (b'{"texts": ["' + b" " * 1_000_000 + b'"]}', JSON, 400, "is empty"),
    (b'{"\xff": 1}', JSON, 400, "the body is no JSON"),
    (b"", JSON, 400, "the body is no JSON"),
    (nested(1_100), JSON, 400, "the body is no JSON"),
    (nested(100_000), JSON, 400, "the body is no JSON"),
    (b'{"texts": [' + b"9" * 5_000 + b"]}", JSON, 400, "the body is no JSON"),
    (b'{"texts": [' + b"[]," * 2_600_000 + b"[]]}", JSON, 413, "more than 200,000 lists, objects and keys"),
    (b"{" + b'"a":0,' * 1_300_000 + b'"b":0}', JSON, 413, "more than 200,000 lists, objects and keys"),
    (b'{"texts": [' + b"0," * 4_000_000 + b"0]}", JSON, 400, "send 1 to 256"),
    (b"caf\xe9", "text/plain", 400, "no UTF-8"),
    (b"caf\xe9", "text/plain; charset=latin-1", 415, "a text in latin-1 is not read; send it in UTF-8"),
    (b"", "text/plain", 400, "is empty"),
    (b"a", "", 415, "type unknown is not read"),
    (b"a", "application/jsonx", 415, "is not read"),
    (b"x", "image/png", 400, "the picture cannot be read"),
    (b"x", "audio/wav", 400, "the recording cannot be read"),
    (b"", "audio/wav", 400, "the recording cannot be read"),
]
PIXEL_FAULTS: list[tuple[bytes, str]] = [
    (nested(900), "do not fit"),
    (b'{"pixels": [[[["' + b"x" * 4_000_000 + b'", ' + b'"y", ' * 500_000 + b'"z"]]]]}', "do not fit"),
    (b'{"pixels": [[[[1, 2], [3, true]]]]}', "do not fit"),
    (b'{"pixels": [[[[1, 2], [3, null]]]]}', "do not fit"),
    (b'{"pixels": [[[[1, 2], [3, 1e999]]]]}', "do not fit"),
    (b'{"pixels": [[[[1, 2], [3, -1]]]]}', "do not fit"),
    (b'{"pixels": [[[[1, 2], [3, 99999999999999999999999]]]]}', "do not fit"),
    (b'{"pixels": [[[[1, 2], {"a": 1}]]]}', "do not fit"),
    (b'{"pixels": ["\\u0009\\u00c8"]}', "do not fit"),
    (b'{"pixels": [1, 2]}', "do not fit"),
    (b'{"pixels": [[[[1, 2], [3, 4]]], 5]}', "do not fit"),
]


@pytest.mark.parametrize(("body", "media_type", "status", "sentence"), TEXTS, ids=range(len(TEXTS)))
def test_what_is_no_input_is_the_askers_fault(
    encoders: Asker, body: bytes, media_type: str, status: int, sentence: str
) -> None:
    """What cannot be read gets 4xx and a short sentence."""
    reply = encoders.ask(body, media_type)
    assert (reply.status_code, sentence in reply.json()["error"]) == (status, True), reply.text[:300]
    assert len(reply.text) < 500


@pytest.mark.parametrize(("body", "sentence"), PIXEL_FAULTS, ids=range(len(PIXEL_FAULTS)))
def test_pixels_that_are_none_are_refused(classifier: Asker, body: bytes, sentence: str) -> None:
    """Only lists of whole numbers of the model's shape are pixels."""
    reply = classifier.ask(body, JSON)
    assert (reply.status_code, sentence in reply.json()["error"]) == (400, True), reply.text[:300]


@pytest.mark.parametrize("media_type", ["Image/PNG", "IMAGE/PNG", " image/png; q=1", "image/x-whatever", "image/png"])
def test_a_media_type_is_read_in_any_case(classifier: Asker, media_type: str) -> None:
    """Capitals and parameters of a media type change nothing."""
    assert classifier.ask(picture(), media_type).status_code == 200


@pytest.mark.parametrize(
    "media_type", [JSON, "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"']
)
def test_json_is_read_in_any_case(classifier: Asker, media_type: str) -> None:
    """Likewise of JSON."""
    assert classifier.ask(json.dumps(PIXELS).encode(), media_type).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_a_packed_body_is_refused(classifier: Asker, encoding: str) -> None:
    """A body is not unpacked, so it cannot be a bomb."""
    reply = classifier.ask(zlib.compress(b"{}"), JSON, **{"content-encoding": encoding})
    assert (reply.status_code, "send it as it is" in reply.json()["error"]) == (415, True)


def test_a_body_without_a_length_is_read(classifier: Asker) -> None:
    """Chunks are put together, and refused once they are too many."""

    async def chunks(count: int) -> Any:
        content = json.dumps(PIXELS).encode()
        for number in range(len(content)):
            yield content[number : number + 1]
        for _ in range(count):
            yield b" " * 65_536

    assert classifier.ask(chunks(0), JSON).status_code == 200
    assert classifier.ask(chunks(LARGEST // 65_536 + 1), JSON).status_code == 413


def test_only_the_beginning_of_a_text_counts(encoders: Asker) -> None:
    """A megabyte of text, of any characters, is answered as its beginning is."""
    for character in ("a ", "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}", "\N{ZERO WIDTH SPACE}b"):
        whole, begun = (encoders.ask((character * count).encode(), "text/plain") for count in (300_000, 600))
        assert (whole.status_code, whole.json()) == (200, begun.json())


@pytest.mark.parametrize("kind", ["image", "text", "speech"])
def test_a_model_that_fails_is_its_own_fault(tmp_path: Path, kind: str) -> None:
    """If a model answers with NaN, the status says that the server is at fault, in a sentence."""
    for name, (port, number, shape) in ENCODERS.items():
        encoder(tmp_path / f"{name}.onnx", port, number, shape, factor=float("nan"))
    body, media_type = {
        "image": (picture(), "image/png"),
        "text": (b"a", "text/plain"),
        "speech": (recording(), "audio/wav"),
    }[kind]
    reply = Asker(application(served(tmp_path))).ask(body, media_type)
    assert (reply.status_code, "the model does not answer this input" in reply.json()["error"]) == (500, True), (
        reply.text
    )


def test_what_nobody_foresaw_gets_a_sentence() -> None:
    """An error of the server's own code is 500 and names its log."""

    def broken(_inputs: Any) -> Any:
        raise KeyError(1)

    reply = Asker(application({"text": broken})).ask(b"a", "text/plain")
    assert (reply.status_code, reply.json()) == (
        500,
        {"error": "the server cannot answer this request; its log says why"},
    )


def test_other_pages_get_a_sentence(classifier: Asker) -> None:
    """A page or a method that is not there is refused as JSON."""

    async def ask(method: str, path: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=classifier.transport, base_url="http://x") as client:
            return await client.request(method, path)

    for method, path, status in (("GET", "/answer", 405), ("GET", "/x", 404), ("POST", "/health", 405)):
        reply = asyncio.run(ask(method, path))
        assert (reply.status_code, "POST to /answer" in reply.json()["error"]) == (status, True)


def test_what_takes_long_is_known_before() -> None:
    """Small bodies are answered at once; recordings, long bodies and pictures of many pixels are not."""
    assert is_light("image", [picture()])
    assert is_light("text", ["a"])
    assert not is_light("speech", [recording()])
    assert not is_light("image", [picture(), picture("JPEG")])
    assert not is_light("image", [picture(size=(3000, 3))[:100].replace(b"\0\0\x0b\xb8", b"\0\x0b\xb8\0")])
    assert not is_light("image", [picture()[:-12] + picture()[8:]])
    assert not is_light("image", [picture() + bytes(100_000)])


SEEDS: dict[str, tuple[str, list[bytes]]] = {
    "png": ("image/png", [picture(), picture(size=(300, 2))]),
    "jpeg": ("image/jpeg", [picture("JPEG")]),
    "gif": ("image/gif", [picture("GIF")]),
    "webp": ("image/webp", [picture("WEBP")]),
    "bmp": ("image/bmp", [picture("BMP")]),
    "tiff": ("image/tiff", [picture("TIFF")]),
    "wav": ("audio/wav", [recording(), recording(subtype="FLOAT")]),
    "ogg": ("audio/ogg", [recording("OGG", "VORBIS"), recording("OGG", "OPUS")]),
    "flac": ("audio/flac", [recording("FLAC")]),
    "mp3": ("audio/mpeg", [recording("MP3", "MPEG_LAYER_III")]),
    "json": (JSON, [b'{"texts": ["a red heart", "\\u2764"]}', json.dumps(PIXELS).encode()]),
    "text": ("text/plain", ["ein rotes Herz \u2764".encode()]),
}


def mutated(content: bytes, generator: np.random.Generator) -> bytes:
    """Change a few places of a body: bytes, runs, lengths, cuts and repetitions."""
    changed = bytearray(content)
    for _ in range(int(generator.integers(1, 6))):
        place = int(generator.integers(0, max(1, len(changed))))
        length = int(generator.integers(1, 9))
        deed = int(generator.integers(0, 6))
        if deed == 0:
            changed[place : place + 1] = generator.bytes(1)
        elif deed == 1:
            changed[place : place + length] = generator.bytes(length)
        elif deed == 2:
            changed[place : place + 4] = generator.choice([b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"]).ljust(
                4, b"\0"
            )
        elif deed == 3:
            del changed[place : place + length**3]
        elif deed == 4:
            changed[place:place] = changed[max(0, place - length**3) : place]
        else:
            changed = changed[:place] if generator.random() < 0.3 else changed
    return bytes(changed)


def expect_no_fault(asker: Asker, kind: str, count: int) -> None:
    media_type, seeds = SEEDS[kind]
    generator = np.random.default_rng(19)
    found = {asker.ask(seed, media_type).status_code for seed in seeds}
    assert 200 in found, found
    for number in range(count):
        body = mutated(seeds[number % len(seeds)], generator)
        reply = asker.ask(body, media_type)
        assert reply.status_code in {200, 400, 413}, (kind, number, body, reply.text)
        assert reply.status_code == 200 or "; " in reply.json()["error"], (kind, number, body, reply.text)


@pytest.mark.parametrize("kind", SEEDS)
def test_no_body_brings_the_server_down(encoders: Asker, kind: str) -> None:
    """A body that is changed at random is answered or refused with a remedy."""
    expect_no_fault(encoders, kind, MUTATED)


@pytest.mark.long
@pytest.mark.parametrize("kind", SEEDS)
def test_none_of_ten_thousand_bodies_brings_the_server_down(encoders: Asker, kind: str) -> None:
    """Nor are ten thousand of each kind."""
    expect_no_fault(encoders, kind, LONG)


@pytest.fixture
def running(classifier: Asker) -> Iterator[str]:
    """Serve the classifier over HTTP."""
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(classifier.transport.app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


def test_health_is_answered_while_large_pictures_are_read(running: str) -> None:
    """Pictures of many pixels hold neither health nor small requests up."""
    stream = io.BytesIO()
    Image.new("RGB", (6000, 6000)).save(stream, "PNG")
    statuses: list[int] = []

    def large() -> None:
        reply = requests.post(
            f"{running}/answer", stream.getvalue(), headers={"content-type": "image/png"}, timeout=120
        )
        statuses.append(reply.status_code)

    threads = [threading.Thread(target=large) for _ in range(3)]
    for thread in threads:
        thread.start()
    slowest, asked = 0.0, 0
    while any(thread.is_alive() for thread in threads):
        began = time.monotonic()
        assert requests.get(f"{running}/health", timeout=30).ok
        slowest, asked = max(slowest, time.monotonic() - began), asked + 1
        time.sleep(0.02)
    assert statuses == [200] * 3
    assert asked > 3
    assert slowest < 2, slowest
