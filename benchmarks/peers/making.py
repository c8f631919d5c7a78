"""Start every peer in a process of its own, keep what it made, and turn a dead process into a failed row."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from benchmarks.peers.request import MADE

TOOLS = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO + NNCF",
    "neural_compressor": "Neural Compressor",
    "olive": "Olive",
    "torchao": "torchao",
    "torch_pruning": "Torch-Pruning",
}
HERE = Path(__file__).parent
HOURS = 6


def make(work: Path, request: Path, left_out: Collection[str]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Let all peers make their deployables; returns their rows and the versions of what made them.

    What an unchanged peer made of an unchanged request is kept from the run before; a peer left out has a row that
    says so.
    """
    rows: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    for module, tool in TOOLS.items():
        if module in left_out:
            rows.append({"tool": tool, "what": "all of it", "seconds": None, "failed": "left out of this run"})
            continue
        folder = work / "made" / f"{module}-{_key(request, module)}"
        if not (folder / MADE).exists():
            failure = _run(module, request, folder)
            if failure:
                rows.append({"tool": tool, "what": "all of it", "seconds": None, "failed": failure})
                continue
        made = json.loads((folder / MADE).read_text(encoding="utf-8"))
        rows += made["rows"]
        versions |= made["versions"]
    return rows, versions


def environment(work: Path) -> dict[str, str]:
    """Give processes a home of their own and no tool that reports to its makers."""
    consent = work / "home" / "intel" / "openvino_telemetry"
    consent.parent.mkdir(parents=True, exist_ok=True)
    consent.write_text("0", encoding="utf-8")
    quiet = {"DO_NOT_TRACK": "1", "OLIVE_DISABLE_TELEMETRY": "1", "CI": "1", "HF_HUB_OFFLINE": "1"}
    return os.environ | quiet | {"HOME": str(work / "home")}


def last_line(text: str) -> str:
    """Find the last line with anything on it."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")[:200]


def _run(module: str, request: Path, folder: Path) -> str:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"making: {module}, log in {folder / 'log.txt'}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", str(request), str(folder)]
    log = folder / "log.txt"
    with log.open("w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                command,
                env=environment(request.parent),
                check=False,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=HOURS * 3600,
            )
        except subprocess.TimeoutExpired:
            return f"still at it after {HOURS} hours"
    if done.returncode:
        return f"exit code {done.returncode}, {last_line(log.read_text(encoding='utf-8', errors='replace'))}"
    return ""


def _key(request: Path, module: str) -> str:
    fields = json.loads(request.read_text(encoding="utf-8"))
    files = (request, Path(fields["onnx"]), Path(fields["calibration"]), *sorted(HERE.glob("*.txt")))
    shared = ("request", "inductor", module) if module != "torch_pruning" else ("request", "onnxruntime", module)
    digests = [hashlib.sha256(path.read_bytes()) for path in (*files, *(HERE / f"{name}.py" for name in shared))]
    return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()[:12]
