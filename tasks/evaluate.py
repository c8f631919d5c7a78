"""Stage `evaluate`: hand the exported files to a clean process that knows only the runtime."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.packing import deployable
from tasks.artifact import write_json
from tasks.clean_process import measure
from tasks.job import Job, Metrics
from tasks.pull_data import materialise
from tasks.recipe import Latency


def evaluate(job: Job) -> Metrics:
    """Measure quality, bytes, time and memory of the teacher's and the student's file; writes evaluation.json."""
    files = deployables_of(job.inputs["models"])
    request = {
        "data": str(materialise(job.inputs["data"])),
        "models": {name: str(path) for name, path in files.items()},
        "schedule": schedule_of(job.settings, job.settings["latency_limit"]),
    }
    job.progress("measuring the exported files on one pinned thread")
    towers = files["student"].is_dir()
    evaluation = measure("models.retrieval_evaluation" if towers else "models.evaluation", request, job.scratch)
    write_json(job.out / "evaluation.json", evaluation)
    return _headline(evaluation)


def deployables_of(models: Path) -> dict[str, Path]:
    """Find what ships of `teacher` and `student` in the output of export: a file each, or a folder of towers each."""
    towers = (models / "student").is_dir()
    return {name: models / name if towers else deployable(models, name) for name in ("teacher", "student")}


def schedule_of(settings: Mapping[str, Any], limit: float) -> dict[str, float]:
    """Say how long two files are timed against each other, to decide on which side of a limit their ratio is."""
    latency: Latency = settings["latency"]
    return {
        "repeats": latency.repeats,
        "most": latency.max_repeats,
        "rounds": latency.rounds,
        "pause_seconds": latency.pause_seconds,
        "confidence": 2 * settings["confidence"] - 1,
        "limit": limit,
    }


def _headline(evaluation: Mapping[str, Any]) -> Metrics:
    metrics: Metrics = {}
    for model in ("teacher", "student"):
        metrics[f"{model}_quality"] = evaluation[model]["quality"]["gate"]["value"]
        metrics[f"{model}_bytes"] = evaluation[model]["bytes"]
        metrics[f"{model}_zstd_bytes"] = evaluation[model]["zstd_bytes"]
        metrics[f"{model}_latency_ms"] = evaluation[model]["latency_ms"]["p10"]
    ratios = evaluation["ratios"]
    return metrics | {
        "ratio_bytes": ratios["bytes"],
        "ratio_latency": ratios["latency"]["value"],
        "ratio_quality": ratios["quality"]["gate"]["value"],
        "difference": evaluation["paired"]["gate"]["difference"]["value"],
    }
