"""Stage `compare_champion`: compare the student with the model in production. Both are measured again."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse.models.evaluation.schema import Measured
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.artifacts.student_file import REFERENCES, locate_judged, locate_student
from stillhouse.tasks.errors import ServiceError, StillhouseError
from stillhouse.tasks.judging.champion_comparison import ANSWER, ChampionComparison
from stillhouse.tasks.judging.clean_process import measure
from stillhouse.tasks.judging.timing_schedule import schedule_of
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.registry.versions import NOBODY, production_of, shippable, version_of
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.tracking.connection import connect


def compare_champion(job: Job) -> Metrics:
    """Measure the student and the champion, and write champion_comparison.json."""
    found = _compare(job)
    write_json(job.out / ANSWER, found.model_dump())
    if found.measured is None:
        job.progress(found.reason or "nothing is in production yet")
        return {}
    better = found.better()
    job.progress(f"against version {found.champion}: {', '.join(better) or 'nothing'} is better")
    return {
        "champion_difference": found.measured.paired.difference.value,
        "champion_churn": found.measured.paired.churn,
        "champion_bytes": found.measured.bytes,
        "champion_latency": found.measured.latency.value,
        "better": float(len(better)),
    }


def _compare(job: Job) -> ChampionComparison:
    """Compare with the champion that the stage's key includes, even if another model is in production by now."""
    if job.outside["champion"] == NOBODY:
        return ChampionComparison(champion=None)
    version, _, champion_digest = job.outside["champion"].partition(":")
    if champion_digest == locate_student(job.inputs["models"]).digest:
        return ChampionComparison(champion=version, reason=f"the student is version {version} of production itself")
    client = connect(load_settings().tracking_uri)
    try:
        champion = version_of(client, production_of(job.settings["name"]), version)
        with shippable(champion) as folder, tempfile.TemporaryDirectory() as scratch:
            measured = _measure(job, locate_judged(folder), Path(scratch))
    except ServiceError:
        raise  # MLflow does not answer, so nothing is known about the champion: the stage is tried again
    except StillhouseError as error:
        return ChampionComparison(
            champion=version, reason=f"version {version} of production cannot be compared: {error}"
        )
    return ChampionComparison(champion=version, measured=Measured.model_validate(measured))


def _measure(job: Job, champion: Path, scratch: Path) -> Mapping[str, Any]:
    job.progress("measuring the student beside what is in production")
    request = {
        "workload": job.settings["workload"],
        "data": str(materialise(job.inputs["data"])),
        "models": {
            "teacher": str(champion),
            "student": str(job.inputs["models"] / "student"),
            "reference": str(job.inputs["models"] / "teacher"),
        },
        "references": str(job.inputs["models"] / REFERENCES),
        "schedule": schedule_of(job.settings, limit=1.0),
    }
    return measure("stillhouse.models.evaluation.champion", request, scratch)
