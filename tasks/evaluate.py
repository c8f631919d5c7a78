"""Stage `evaluate`: hand the exported files to a clean process that knows only the runtime."""

import json
import subprocess
import sys

from tasks.artifact import write_json
from tasks.errors import StillhouseError
from tasks.job import Job, Metrics
from tasks.pull_data import materialise
from tasks.recipe import Latency


def evaluate(job: Job) -> Metrics:
    """Measure quality, bytes and time of teacher.onnx and student.onnx; writes evaluation.json."""
    latency: Latency = job.settings["latency"]
    models = job.inputs["models"]
    request = {
        "data": str(materialise(job.inputs["data"])),
        "models": {name: str(models / f"{name}.onnx") for name in ("teacher", "student")},
        "schedule": {
            "repeats": latency.repeats,
            "most": latency.max_repeats,
            "rounds": latency.rounds,
            "pause_seconds": latency.pause_seconds,
            "confidence": 2 * job.settings["confidence"] - 1,
            "limit": job.settings["latency_limit"],
        },
    }
    write_json(job.scratch / "request.json", request)
    job.progress("measuring the exported files on one pinned thread")
    command = [sys.executable, "-m", "models.evaluation", str(job.scratch / "request.json")]
    done = subprocess.run([*command, str(job.out / "evaluation.json")], check=False, capture_output=True, text=True)  # noqa: S603 - our own module
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        msg = f"the exported files could not be measured ({reason}); look at the export stage's files in {models}"
        raise StillhouseError(msg)
    return _headline(job)


def _headline(job: Job) -> Metrics:
    evaluation = json.loads((job.out / "evaluation.json").read_text(encoding="utf-8"))
    metrics: Metrics = {}
    for model in ("teacher", "student"):
        metrics[f"{model}_quality"] = evaluation[model]["quality"]["sealed"]["value"]
        metrics[f"{model}_bytes"] = evaluation[model]["bytes"]
        metrics[f"{model}_latency_ms"] = evaluation[model]["latency_ms"]["p10"]
    ratios = evaluation["ratios"]
    return metrics | {
        "ratio_bytes": ratios["bytes"],
        "ratio_latency": ratios["latency"]["value"],
        "ratio_quality": ratios["quality"]["sealed"]["value"],
    }
