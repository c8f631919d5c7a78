"""Run the server of a production model until it is told to stop."""

import socket
from collections.abc import Callable

import uvicorn

from tasks.errors import ServiceError
from tasks.production.versions import production_of
from tasks.serving.app import build
from tasks.serving.follow import Follower
from tasks.settings import load_settings
from tasks.tracking import connect


def run_server(model: str, host: str, port: int, show: Callable[[str], None]) -> None:
    """Serve the champion of a recipe's production model.

    Raises:
        StillhouseError: there is no champion that can be served, or the port is taken.
    """
    listener = _listen(host, port)
    follower = Follower(connect(load_settings().tracking_uri), production_of(model))
    follower.start()
    served = follower.current
    show(f"{served.model} version {served.version} answers at http://{host}:{listener.getsockname()[1]}/answer")
    config = uvicorn.Config(build(follower), log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # what asks before the server runs waits
    except OSError as error:
        msg = f"{host}:{port} cannot be listened at ({error.strerror}); choose another --port"
        raise ServiceError(msg) from error
    return listener
