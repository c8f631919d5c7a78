"""Run a module of ours in another environment: a JSON request in, a JSON answer out.

The module may import what that environment has, and of our own modules only those that need nothing else.
"""

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import stillhouse
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.environment import clean_variables

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "KERAS_BACKEND": "tensorflow"}


def run_inside(python: Path, module: str, request: Mapping[str, Any], packages: Path | None = None) -> dict[str, Any]:
    """Run `python -m module REQUEST ANSWER` in a scratch folder.

    Args:
        python: the Python of an environment, as `ensure_environment` returns it.
        module: full name of a module that calls `answer_or_refuse`.
        request: JSON values; paths must be absolute.
        packages: folder of further packages, as `ensure_packages` returns it.

    Returns:
        The module's answer.

    Raises:
        StillhouseError: the module refused the request, in its own sentence, or it failed, with its last line.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "path").mkdir()
        (folder / "path" / "stillhouse").symlink_to(Path(stillhouse.__file__).resolve().parent)
        asked, answered = folder / "request.json", folder / "answer.json"
        write_json(asked, dict(request))
        # A keras.json of the user may change Keras's defaults, and a file in the current folder may hide a package.
        variables = clean_variables() | QUIET | {"PYTHONPATH": _path(folder, packages), "PYTHONSAFEPATH": "1"}
        variables |= {"KERAS_HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [str(python), "-m", module, str(asked), str(answered)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables, cwd=folder)  # noqa: S603 - ours
        if done.returncode or not answered.is_file():
            raise StillhouseError(_failure(packages or python.parent.parent, module, done))
        answer: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    if "refused" in answer:
        raise StillhouseError(answer["refused"])
    return answer


def _path(scratch: Path, packages: Path | None) -> str:
    return os.pathsep.join([str(scratch / "path"), *([str(packages)] if packages else [])])


def _failure(where: Path, module: str, done: subprocess.CompletedProcess[str]) -> str:
    last = (done.stderr.strip().splitlines() or ["no reason given"])[-1][:300]
    reason = f"killed by {signal.Signals(-done.returncode).name}: {last}" if done.returncode < 0 else last
    tool = where.name.partition("-")[0]
    return f"{module} failed ({reason}); try the model in {tool} alone, and if it works there, delete {where}"
