"""One of the processes that train one model: `python -m stillhouse.tasks.distributed.rank REQUEST ANSWER`."""

import json
import os
import pkgutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stillhouse.models.errors import DivergedError, ModelError
from stillhouse.models.training.device import accelerator
from stillhouse.models.training.ranks import is_first
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.distributed.dependent import end_with
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.pipeline.job import Job

TORCHRUN = b"torch.distributed.run"
"""What the command of torchrun contains."""


def main() -> None:
    """Run the function of the request. The first process writes the answer."""
    parent = os.getppid()
    end_with(parent, signal.SIGKILL)
    if TORCHRUN not in Path(f"/proc/{parent}/cmdline").read_bytes():
        sys.exit("torchrun ended while this process began")  # its orphan has another parent
    if accelerator().num_processes != int(os.environ["WORLD_SIZE"]):
        sys.exit("the processes do not find each other; set processes and nodes to 1")
    asked, answered = map(Path, sys.argv[1:])
    request = json.loads(asked.read_text(encoding="utf-8"))
    function, job = pkgutil.resolve_name(request["function"]), job_of(request["job"])
    if is_first():
        write_json(answered, _answer(function, replace(job, progress=_progress, record=_record)))
    else:
        with tempfile.TemporaryDirectory() as own:
            _answer(function, replace(job, out=Path(own)))


def job_of(told: Mapping[str, Any]) -> Job:
    """Return the job of a request. It tells nobody how far it is."""
    return Job(
        settings={name: _read(value) for name, value in told["settings"].items()},
        inputs={name: Path(path) for name, path in told["inputs"].items()},
        out=Path(told["out"]),
        scratch=Path(told["scratch"]),
        shared=Path(told["shared"]),
        progress=lambda _: None,
        record=lambda *_: None,
        outside=told["outside"],
    )


def _read(value: Any) -> Any:  # noqa: ANN401 - a section of the recipe, or a plain value
    if isinstance(value, dict) and value.keys() == {"kind", "value"}:
        return pkgutil.resolve_name(value["kind"]).model_validate(value["value"])
    return value


def _answer(function: Callable[[Job], Any], job: Job) -> dict[str, Any]:
    try:
        return {"found": function(job)}
    except DivergedError as error:
        return {"diverged": str(error)}
    except (ModelError, StillhouseError) as error:
        return {"refused": str(error)}


def _progress(line: str) -> None:
    print(json.dumps({"progress": line}), flush=True)  # noqa: T201 - the protocol of `launch`


def _record(epoch: int, metrics: Mapping[str, float]) -> None:
    print(json.dumps({"epoch": epoch, "metrics": dict(metrics)}), flush=True)  # noqa: T201 - likewise


if __name__ == "__main__":
    main()
