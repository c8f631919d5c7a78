"""The HTTP application. If a request cannot be answered, the response has one sentence and the right status.

A body is read within limits on bytes, pixels and seconds. Slow work runs outside the event loop, a few requests at a
time, so that `/health` still answers. 4xx means a fault of the request, 5xx a fault of the server.
"""

import asyncio
import logging
from functools import partial
from typing import Any, Protocol

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from stillhouse.models.errors import ModelError, ModelFault
from stillhouse.tasks.serving.bodies import Refusal, is_light, kind_of, read
from stillhouse.tasks.serving.served import Answer, Served

LARGEST = 8 * 1024 * 1024
"""Maximum bytes of a request's body."""
BODY_SECONDS = 30.0
"""Maximum seconds until a body has arrived."""
HEAVY_AT_ONCE, MOST_WAITING = 2, 32
"""Slow requests: the number that run at once, and the number that may wait."""


class Answering(Protocol):
    """The served version, and the reason if it is not the champion."""

    @property
    def current(self) -> Served: ...  # noqa: D102 - see above
    @property
    def problem(self) -> str | None: ...  # noqa: D102 - see above


def build(follower: Answering) -> Starlette:
    """Build the application around the served version."""
    turns = CapacityLimiter(HEAVY_AT_ONCE)

    async def answer(request: Request) -> JSONResponse:
        served = follower.current
        kind = kind_of(request.headers.get("content-type", ""), request.headers.get("content-encoding", ""))
        content = await _body(request)
        work = partial(_answers, served, kind, content)
        answers = work() if is_light(kind, content) else await _beside(work, turns)
        return JSONResponse({**_who(served), "answers": answers})

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
        exception_handlers={
            Refusal: _refused,
            ModelError: _unreadable,
            ModelFault: _faulty,
            HTTPException: _elsewhere,
            Exception: _unforeseen,
        },
    )


def _who(served: Served) -> dict[str, Any]:
    return {"model": served.model, "version": served.version, "digest": served.digest}


def _answers(served: Served, kind: str, content: bytes) -> list[Answer]:
    return served.answer(*read(kind, content, served.answers))


async def _beside(work: "partial[list[Answer]]", turns: CapacityLimiter) -> list[Answer]:
    """Run the work in a thread when it is this request's turn."""
    if turns.statistics().tasks_waiting >= MOST_WAITING:
        raise Refusal(503, f"{MOST_WAITING} large requests are waiting already; ask again later")
    return await to_thread.run_sync(work, limiter=turns)


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _received(request)
    except TimeoutError as error:
        raise Refusal(408, f"the body did not arrive within {BODY_SECONDS:.0f} s; send it again") from error
    except ClientDisconnect as error:
        raise Refusal(400, "the body ended early; send it again") from error


async def _received(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > LARGEST:
            raise Refusal(413, f"the body is larger than {LARGEST:,} bytes; send less at once")
    return bytes(content)


async def _refused(_request: Request, refusal: Exception) -> JSONResponse:
    assert isinstance(refusal, Refusal)  # noqa: S101 - registered for it alone
    return JSONResponse({"error": str(refusal)}, refusal.status)


async def _unreadable(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 400)


async def _faulty(_request: Request, fault: Exception) -> JSONResponse:
    logging.getLogger(__name__).error("%s", fault)
    return JSONResponse({"error": str(fault)}, 500)


async def _elsewhere(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    sentence = f"{error.detail}: POST to /answer, or GET /health, /ready or /version"
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


async def _unforeseen(_request: Request, _error: Exception) -> JSONResponse:
    """Answer after an unexpected error. Starlette raises the error again, so that the server's log has it."""
    return JSONResponse({"error": "the server cannot answer this request; its log says why"}, 500)
