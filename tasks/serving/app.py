"""The HTTP application. If a request cannot be answered, the response has one sentence and the right status.

A body is read within limits on bytes, pixels and seconds. Slow work runs outside the event loop, a few requests at a
time, so that `/health` still answers. 4xx means a fault of the request, 5xx a fault of the server.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from stillhouse.models.errors import ModelError, ModelFault
from stillhouse.tasks.serving.bodies import LARGEST, LIGHT_BYTES, Refusal
from stillhouse.tasks.serving.metrics import Counters, protocol_of
from stillhouse.tasks.serving.pages import about_pages, expect_model
from stillhouse.tasks.serving.protocols.asked import Asked, Speaks, is_light
from stillhouse.tasks.serving.protocols.mlflow_table import MlflowTable
from stillhouse.tasks.serving.protocols.open_inference import OpenInference
from stillhouse.tasks.serving.protocols.own import Own
from stillhouse.tasks.serving.served import Answering, Served

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
        Route(path, _endpoint(protocol, follower, turns, partial(counters.note, protocol_of(path))), methods=["POST"])
        for path, protocol in PROTOCOLS.items()
    ]
    return Starlette(
        routes=[*answering, *about_pages(follower), Route("/metrics", metrics)],
        exception_handlers=_handlers(counters),
    )


def _endpoint(
    protocol: Speaks, follower: Answering, turns: CapacityLimiter, note: Callable[[float], None]
) -> Callable[[Request], Awaitable[JSONResponse]]:
    """Return the function that answers the requests of a protocol. A request keeps the version with which it began.

    Args:
        protocol: the protocol.
        follower: has the served version.
        turns: of slow requests.
        note: receives the seconds of each answer.
    """

    async def answer(request: Request) -> JSONResponse:
        began, served = time.perf_counter(), follower.current
        expect_model(served, request.path_params)
        content = await _body(request)
        if len(content) > LIGHT_BYTES:
            told = await _beside(partial(_whole, protocol, served, request.headers, content), turns)
        else:
            asked = protocol.read(request.headers, content, served.answers)
            finish = partial(_finish, protocol, served, asked)
            told = finish() if is_light(asked.kind, asked.inputs) else await _beside(finish, turns)
        note(time.perf_counter() - began)
        return JSONResponse(told)

    return answer


def _whole(protocol: Speaks, served: Served, headers: Mapping[str, str], content: bytes) -> Answers:
    return _finish(protocol, served, protocol.read(headers, content, served.answers))


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
            return await _received(request.receive)
    except TimeoutError as error:
        raise Refusal(408, f"the body did not arrive within {BODY_SECONDS:.0f} s; send it again") from error


async def _received(receive: Receive) -> bytes:
    content, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "the body ended early; send it again")
        content += message.get("body", b"")
        more = message.get("more_body", False)
        if len(content) > LARGEST:
            raise Refusal(413, f"the body is larger than {LARGEST:,} bytes; send less at once")
    return bytes(content)


def _handlers(counters: Counters) -> dict[Any, Callable[[Request, Exception], Awaitable[JSONResponse]]]:
    """Return kind of an error -> the function that answers a request after it."""

    def handle(tell: Callable[[Any], tuple[str, int]]) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
        async def answer(request: Request, error: Exception) -> JSONResponse:
            sentence, status = tell(error)
            counters.refuse(request.scope["path"], status)
            return JSONResponse({"error": sentence}, status, getattr(error, "headers", None))

        return answer

    return {
        Refusal: handle(lambda refusal: (str(refusal), refusal.status)),
        ModelError: handle(lambda error: (str(error), 400)),
        ModelFault: handle(_faulty),
        HTTPException: handle(_elsewhere),
        Exception: handle(lambda _: ("the server cannot answer this request; its log says why", 500)),
    }


def _faulty(fault: ModelFault) -> tuple[str, int]:
    logging.getLogger(__name__).error("%s", fault)
    return str(fault), 500


def _elsewhere(error: HTTPException) -> tuple[str, int]:
    said = f"{error.detail}: POST to {', '.join(PROTOCOLS)}, or GET /health, /ready, /version, /v2 or /metrics"
    return said, error.status_code
