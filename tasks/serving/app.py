"""The HTTP application. If a request cannot be answered, the response has one sentence and the right status.

A body is read within limits on bytes, pixels and seconds. Slow work runs outside the event loop, a few requests at a
time, so that `/health` still answers. 4xx means a fault of the request, 5xx a fault of the server.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stillhouse.models.errors import ModelError, ModelFault
from stillhouse.tasks.serving.bodies import LIGHT_BYTES, Refusal
from stillhouse.tasks.serving.follow import Answering
from stillhouse.tasks.serving.metrics import Counted, Counters
from stillhouse.tasks.serving.pages import about_pages, expect_model
from stillhouse.tasks.serving.protocols.asked import Asked, Speaks, is_light
from stillhouse.tasks.serving.protocols.mlflow_table import MlflowTable
from stillhouse.tasks.serving.protocols.open_inference import OpenInference
from stillhouse.tasks.serving.protocols.own import Own
from stillhouse.tasks.serving.served import Served

LARGEST = 8 * 1024 * 1024
"""Maximum bytes of a request's body."""
BODY_SECONDS = 30.0
"""Maximum seconds until a body has arrived."""
HEAVY_AT_ONCE, MOST_WAITING = 2, 32
"""Slow requests: the number that run at once, and the number that may wait."""
PROTOCOLS: Mapping[str, Speaks] = {
    "/answer": Own(),
    "/invocations": MlflowTable(),
    "/v2/models/{name}/infer": OpenInference(),
    "/v2/models/{name}/versions/{version}/infer": OpenInference(),
}
"""Path -> the protocol of its requests."""
TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
"""Media type of a scrape by Prometheus."""
Answers = dict[str, Any]


def build(follower: Answering) -> Starlette:
    """Build the application around the served version."""
    turns, counters = CapacityLimiter(HEAVY_AT_ONCE), Counters()

    async def metrics(_request: Request) -> Response:
        return Response(counters.page(follower), media_type=TEXT_FORMAT)

    answering = [
        Route(path, _endpoint(protocol, follower, turns), methods=["POST"]) for path, protocol in PROTOCOLS.items()
    ]
    app = Starlette(
        routes=[*answering, *about_pages(follower), Route("/metrics", metrics)],
        exception_handlers={
            Refusal: _refused,
            ModelError: _unreadable,
            ModelFault: _faulty,
            HTTPException: _elsewhere,
            Exception: _unforeseen,
        },
    )
    app.add_middleware(Counted, counters=counters)
    return app


def _endpoint(
    protocol: Speaks, follower: Answering, turns: CapacityLimiter
) -> Callable[[Request], Awaitable[JSONResponse]]:
    """Return the function that answers the requests of a protocol. A request keeps the version with which it began."""

    async def answer(request: Request) -> JSONResponse:
        served = follower.current
        expect_model(served, request.path_params)
        content = await _body(request)
        read = partial(protocol.read, request.headers, content, served.answers)
        finish = partial(_finish, protocol, served)
        if len(content) > LIGHT_BYTES:
            return JSONResponse(await _beside(lambda: finish(read()), turns))
        asked = read()
        if is_light(asked.kind, asked.inputs):
            return JSONResponse(finish(asked))
        return JSONResponse(await _beside(partial(finish, asked), turns))

    return answer


def _finish(protocol: Speaks, served: Served, asked: Asked) -> Answers:
    return protocol.write(served, asked, served.answer(asked.kind, asked.inputs))


async def _beside(work: Callable[[], Answers], turns: CapacityLimiter) -> Answers:
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
    sentence = f"{error.detail}: POST to {', '.join(PROTOCOLS)}, or GET /health, /ready, /version, /v2 or /metrics"
    return JSONResponse({"error": sentence}, error.status_code, error.headers)


async def _unforeseen(_request: Request, _error: Exception) -> JSONResponse:
    """Answer after an unexpected error. Starlette raises the error again, so that the server's log has it."""
    return JSONResponse({"error": "the server cannot answer this request; its log says why"}, 500)
