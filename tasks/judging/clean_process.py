"""Measure in a clean process: it loads no training code, and pinning it to a core pins no other process."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.errors import StillhouseError


def measure(module: str, request: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run `python -m module REQUEST ANSWER` in a scratch folder. Returns the answer.

    Raises:
        StillhouseError: the process failed. The message repeats its last line.
    """
    asked, answered = folder / "request.json", folder / "answer.json"
    write_json(asked, request)
    command = [sys.executable, "-m", module, str(asked), str(answered)]
    # Without this variable, a file in the current folder would hide a user's package of the same name.
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)  # noqa: S603 - ours
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        msg = f"the exported files could not be measured ({reason}); look at the files that {asked} names"
        raise StillhouseError(msg)
    answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    return answer
