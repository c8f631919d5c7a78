"""Stage `load_test`: a load test of the exported student behind the server that would serve it."""

from pathlib import Path

from stillhouse.models.workloads.base import runtime_of
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.judging.clean_process import measure
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.stages.pull import materialise

ANSWER = "load_test.json"


def load_test(job: Job) -> Metrics:
    """Measure the server at a steady request rate and at its maximum rate, on one core and on all cores."""
    workload = job.settings["workload"]
    media_type, bodies = runtime_of(workload).sample_requests(materialise(job.inputs["data"]))
    job.progress("putting load on the student's server")
    request = {
        "student": str(job.inputs["models"] / "student"),
        "media_type": media_type,
        "bodies": [str(_write_request(job.scratch / f"body-{number:02}", body)) for number, body in enumerate(bodies)],
    }
    found = measure("stillhouse.tasks.serving.load_generator", request, job.scratch)
    write_json(job.out / ANSWER, found)
    rates = {f"answers_per_second_{cores}": rate for cores, rate in found["max_rate"].items()}
    return {"load_p50_ms": found["p50_ms"], "load_p99_ms": found["p99_ms"], "load_lost": float(found["lost"])} | rates


def _write_request(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path
