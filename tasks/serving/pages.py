"""Pages about the server and its model: health, readiness, version, and what the Open Inference Protocol asks for."""

from collections.abc import Mapping
from importlib.metadata import version as version_of
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stillhouse.tasks.serving.bodies import Refusal
from stillhouse.tasks.serving.served import Answering, Served

EXTENSIONS = ("binary_tensor_data",)
"""Extensions of the Open Inference Protocol that requests may use."""


def expect_model(served: Served, asked: Mapping[str, str]) -> None:
    """Check the name and the version in a path.

    Raises:
        Refusal: this server has another model, or another version of it.
    """
    if not asked:
        return
    if asked.get("name", served.model) != served.model:
        raise Refusal(404, f"there is no model {asked['name']}; this server has {served.model}")
    if asked.get("version", served.version) != served.version:
        raise Refusal(404, f"version {asked['version']} is not served; {served.model} is at version {served.version}")


def about_pages(follower: Answering) -> list[Route]:
    """Return the pages."""

    async def health(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def ready(_request: Request) -> JSONResponse:
        problem = follower.problem
        return JSONResponse({"status": "ready" if problem is None else "behind", "problem": problem})

    async def version(_request: Request) -> JSONResponse:
        served = follower.current
        return JSONResponse({**served.who, "opset": served.opset, "takes": list(served.answers)})

    async def ping(_request: Request) -> Response:
        return Response("\n")

    return [
        Route("/health", health),
        Route("/ready", ready),
        Route("/version", version),
        Route("/ping", ping),
        *_open_inference(follower),
    ]


def _open_inference(follower: Answering) -> list[Route]:
    """Return the pages of the protocol's health and metadata."""

    async def server(_request: Request) -> JSONResponse:
        found = {"name": "stillhouse", "version": version_of("stillhouse"), "extensions": list(EXTENSIONS)}
        return JSONResponse(found)

    async def live(_request: Request) -> JSONResponse:
        return JSONResponse({"live": True})

    async def server_ready(_request: Request) -> JSONResponse:
        return JSONResponse({"ready": True})

    async def model(request: Request) -> JSONResponse:
        served = follower.current
        expect_model(served, request.path_params)
        return JSONResponse(describe_model(served))

    async def model_ready(request: Request) -> JSONResponse:
        served = follower.current
        expect_model(served, request.path_params)
        return JSONResponse({"name": served.model, "ready": True})

    name, one = "/v2/models/{name}", "/versions/{version}"
    return [
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", server_ready),
        *(Route(f"{name}{part}", model) for part in ("", one)),
        *(Route(f"{name}{part}/ready", model_ready) for part in ("", one)),
    ]


def describe_model(served: Served) -> dict[str, Any]:
    """Return the model's inputs and outputs as tensors."""
    return {
        "name": served.model,
        "versions": [served.version],
        "platform": "onnxruntime_onnx",
        **{name: list(tensors) for name, tensors in served.ports.items()},
    }
