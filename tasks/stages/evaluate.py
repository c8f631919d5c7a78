"""Stage `evaluate`: measure the exported files in a clean process that loads only the runtime."""

from collections.abc import Mapping
from typing import Any

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.artifacts.student_file import MODELS, REFERENCES
from stillhouse.tasks.judging.clean_process import measure
from stillhouse.tasks.judging.timing_schedule import schedule_of
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.stages.pull import materialise


def evaluate(job: Job) -> Metrics:
    """Measure quality, bytes, time and memory of the teacher's and the student's files, and write evaluation.json."""
    export = job.inputs["models"]
    request = {
        "workload": job.settings["workload"],
        "data": str(materialise(job.inputs["data"])),
        "models": {name: str(export / name) for name in MODELS},
        "references": str(export / REFERENCES),
        "schedule": schedule_of(job.settings, job.settings["latency_limit"]),
    }
    job.progress("measuring the exported files on one pinned thread")
    evaluation = measure("stillhouse.models.evaluation.evaluate", request, job.scratch)
    write_json(job.out / "evaluation.json", evaluation)
    return _headline(evaluation)


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
