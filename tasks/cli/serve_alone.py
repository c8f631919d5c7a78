"""`python -m stillhouse.tasks.cli.serve_alone MODEL`: `stillhouse serve` for a container, without typer and recipes.

With `--wait` it waits for MLflow and for a champion, instead of ending without them.
"""

import argparse
import gc
import importlib
import signal
import sys
import time

from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.serving.server import run_server
from stillhouse.tasks.settings import load_settings

PAUSE_SECONDS = 3.0


def main() -> None:
    """Serve until stopped. A failure that the user can repair ends with one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m stillhouse.tasks.cli.serve_alone", description=__doc__)
    parser.add_argument("model", help="name of a recipe")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--wait", action="store_true", help="wait until the recipe has a champion")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container has no default action
    _import_client()
    try:
        if options.wait:
            await_champion(options.model)
        run_server(options.model, options.host, options.port, options.processes, _say)
    except StillhouseError as error:
        sys.exit(f"stillhouse: {error}")


def await_champion(model: str) -> None:
    """Wait until MLflow answers and the recipe's production model has a champion."""
    from stillhouse.tasks.registry.versions import CHAMPION, find_aliased, production_of
    from stillhouse.tasks.tracking.connection import connect

    said = ""
    while True:
        try:
            if find_aliased(connect(load_settings().tracking_uri), production_of(model), CHAMPION):
                return
            reason = f"{model} has no champion yet; promote one"
        except ServiceError as error:
            reason = str(error)
        if reason != said:
            said = reason
            _say(f"waiting: {said}")
        time.sleep(PAUSE_SECONDS)


def _import_client() -> None:
    """Import MLflow's client without collecting garbage. It leaves none, and the search takes a fifth of the time."""
    gc.disable()
    importlib.import_module("stillhouse.tasks.serving.follow")
    gc.freeze()
    gc.enable()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
