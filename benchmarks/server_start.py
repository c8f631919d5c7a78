"""Cold starts of a model server: seconds from the start of its process to its first prediction.

    .venv/bin/python benchmarks/server_start.py seed_digits
    .venv/bin/python benchmarks/server_start.py seed_digits -- podman run --rm -p {port}:8000 IMAGE --wait seed_digits

MLflow is up (`make up`, or MLFLOW_TRACKING_URI), and the recipe has a champion. The server is
`python -m stillhouse.tasks.cli.serve_alone`, or the command after `--`, in which `{port}` is the port that is asked.
A start ends when `/ready` has answered with 200 and one request has been answered. The files are in the page cache,
because a first start is not counted. The CPU time is that of the command's own process until then; a container's
command is only the client of its engine. Prints one JSON object.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import requests
from PIL import Image

from stillhouse.tasks.local_stack.ports import choose_ports
from stillhouse.tasks.local_stack.stack_record import recall
from stillhouse.tasks.settings import load_settings

SECONDS = 120.0
"""A server answers within this."""
PAUSE = 0.005
"""Seconds between two tries to connect."""
TICKS = os.sysconf("SC_CLK_TCK")
SIDE, RATE = 32, 16_000
"""Sides of the picture, and samples of the recording, that are sent."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cold starts of a model server.")
    parser.add_argument("model", help="name of a recipe that has a champion")
    parser.add_argument("--starts", type=int, default=9)
    arguments, command = split_at_dashes(sys.argv[1:])
    options = parser.parse_args(arguments)
    embedded = recall(load_settings(), "mlflow")
    if embedded:
        os.environ.setdefault("MLFLOW_TRACKING_URI", embedded.address)
    own = [sys.executable, "-m", "stillhouse.tasks.cli.serve_alone", "--port", "{port}", "--wait", options.model]
    start(command or own)
    before = os.getloadavg()[0]
    seconds, cpu = zip(*(start(command or own) for _ in range(options.starts)), strict=True)
    found = {
        "model": options.model,
        "starts": options.starts,
        "seconds": spread(seconds),
        "cpu_seconds": spread(cpu),
        "load": [before, os.getloadavg()[0]],
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(found, indent=1))


def split_at_dashes(words: list[str]) -> tuple[list[str], list[str]]:
    """Split a command line at `--`."""
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def start(command: list[str]) -> tuple[float, float]:
    """Start a server, ask it, and end it. Returns seconds and CPU seconds until its first prediction."""
    port = choose_ports({"server": 8600})["server"]
    address = f"http://127.0.0.1:{port}"
    begin = time.perf_counter()
    with subprocess.Popen([part.replace("{port}", str(port)) for part in command], stdout=sys.stderr) as server:
        try:
            await_ready(server, address, begin + SECONDS)
            predict(address)
            seconds = time.perf_counter() - begin
            return seconds, cpu_of(server.pid)
        finally:
            server.terminate()


def await_ready(server: subprocess.Popen[bytes], address: str, deadline: float) -> None:
    """Wait until the server says that it is ready. A server that loads its model lets the request wait."""
    while time.perf_counter() < deadline and server.poll() is None:
        try:
            if requests.get(f"{address}/ready", timeout=SECONDS).ok:
                return
        except requests.ConnectionError:
            time.sleep(PAUSE)
    sys.exit(f"the server at {address} is not ready; see what it said")


def predict(address: str) -> None:
    """Ask for one prediction of a kind that the model takes."""
    taken = requests.get(f"{address}/version", timeout=SECONDS).json()["takes"]
    media_type, body = next(body for kind, body in bodies().items() if kind in taken)
    headers = {"content-type": media_type}
    requests.post(f"{address}/answer", data=body, headers=headers, timeout=SECONDS).raise_for_status()


def bodies() -> dict[str, tuple[str, bytes]]:
    """Return kind of input -> media type and a body."""
    picture, recording, random = io.BytesIO(), io.BytesIO(), np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(picture, "PNG")
    with wave.open(recording, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(random.integers(-1000, 1000, RATE).astype(np.int16).tobytes())
    return {
        "text": ("text/plain", b"a cat"),
        "image": ("image/png", picture.getvalue()),
        "speech": ("audio/wav", recording.getvalue()),
    }


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has used, in user and in system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def spread(values: tuple[float, ...]) -> dict[str, float]:
    """Return median, 90th percentile, least and most."""
    percentile = statistics.quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]
    named = {"median": statistics.median(values), "p90": percentile, "least": min(values), "most": max(values)}
    return {name: round(value, 3) for name, value in named.items()}


if __name__ == "__main__":
    main()
