"""The HTTP side: requests in, answers out; what cannot be answered gets one sentence and the right status."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from models.errors import ModelError
from tasks.serving.served import Served

LARGEST = 8 * 1024 * 1024
"""Bytes of a request's body."""
FIELDS = {"pixels": "pixels", "texts": "text"}
"""Field of a JSON body -> kind of what it holds."""
FILES = {"image": "image", "audio": "speech", "text": "text"}
"""First part of a body's media type -> kind of what the body is."""


class Answering(Protocol):
    """What answers now, and why that is not what should, if it is not."""

    @property
    def current(self) -> Served: ...  # noqa: D102 - see above
    @property
    def problem(self) -> str | None: ...  # noqa: D102 - see above


class Refusal(Exception):  # noqa: N818 - an answer
    """A request that is not answered: an HTTP status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        """Keep both."""
        super().__init__(sentence)
        self.status = status


def build(follower: Answering) -> Starlette:
    """Build the application around what answers."""

    async def answer(request: Request) -> JSONResponse:
        served = follower.current
        kind, inputs = _read(request.headers.get("content-type", ""), await _body(request))
        return JSONResponse({**_who(served), "answers": served.answer(kind, inputs)})

    async def health(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def ready(_request: Request) -> JSONResponse:
        problem = follower.problem
        return JSONResponse({"status": "ready" if problem is None else "behind", "problem": problem})

    async def version(_request: Request) -> JSONResponse:
        served = follower.current
        return JSONResponse({**_who(served), "opset": served.opset, "takes": list(served.answers)})

    return Starlette(
        routes=[
            Route("/answer", answer, methods=["POST"]),
            Route("/health", health),
            Route("/ready", ready),
            Route("/version", version),
        ],
        exception_handlers={Refusal: _refused, ModelError: _unreadable},
    )


def _who(served: Served) -> dict[str, Any]:
    return {"model": served.model, "version": served.version, "digest": served.digest}


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST:
            raise Refusal(413, f"the body is larger than {LARGEST:,} bytes; send less at once")
    return bytes(content)


def _read(media_type: str, content: bytes) -> tuple[str, Sequence[Any]]:
    """Tell what kind of input a body holds, and list the inputs."""
    if media_type.startswith("application/json"):
        return _json(content)
    kind = FILES.get(media_type.split("/", maxsplit=1)[0])
    if kind is None:
        known = "application/json, image/..., audio/... or text/plain"
        raise Refusal(415, f"a body of type {media_type or 'unknown'} is not read; send {known}")
    return kind, [_decoded(content) if kind == "text" else content]


def _json(content: bytes) -> tuple[str, Sequence[Any]]:
    try:
        given = json.loads(content)
    except ValueError as error:
        raise Refusal(400, f"the body is no JSON ({error}); send an object") from error
    fields = [field for field in FIELDS if isinstance(given, dict) and isinstance(given.get(field), list)]
    if len(fields) != 1 or len(given) != 1:
        raise Refusal(400, f"the body is no object of one list; send one of {', '.join(FIELDS)}")
    return FIELDS[fields[0]], given[fields[0]]


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the sentence is no UTF-8 ({error.reason}); send text in UTF-8") from error


async def _refused(_request: Request, refusal: Exception) -> JSONResponse:
    assert isinstance(refusal, Refusal)  # noqa: S101 - registered for it alone
    return JSONResponse({"error": str(refusal)}, refusal.status)


async def _unreadable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 400)
