"""Stage `challenge`: is the student better on anything than what is in production? Both are measured anew."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from tasks.artifact import write_json
from tasks.clean_process import measure
from tasks.errors import ServiceError, StillhouseError
from tasks.evaluate import schedule_of
from tasks.job import Job, Metrics
from tasks.production.versions import CHAMPION, DIGEST, production_of, shippable, version_of, version_with_alias
from tasks.pull_data import materialise
from tasks.register import judged, judged_path
from tasks.reporting.challenge import ANSWER, Challenge, Measured
from tasks.settings import load_settings
from tasks.tracking import connect

NOBODY = "none"
"""What `champion_of` gives while nothing is in production."""


def champion_of(client: MlflowClient, model: str) -> str:
    """Name what is in production as `VERSION:DIGEST`, on which the stage depends as on an input; or `none`."""
    champion = version_with_alias(client, production_of(model), CHAMPION)
    return f"{champion.version}:{champion.tags.get(DIGEST, '')}" if champion else NOBODY


def challenge(job: Job) -> Metrics:
    """Measure student and champion; writes challenge.json."""
    found = _challenge(job)
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


def _challenge(job: Job) -> Challenge:
    """Compare with the champion that the stage's key counts, whichever is in production by now."""
    if job.outside["champion"] == NOBODY:
        return Challenge(champion=None)
    version, _, champion_digest = job.outside["champion"].partition(":")
    student, digest = judged(job.inputs["models"])
    if champion_digest == digest:
        return Challenge(champion=version, reason=f"the student is version {version} of production itself")
    client = connect(load_settings().tracking_uri)
    try:
        champion = version_of(client, production_of(job.settings["name"]), version)
        with shippable(champion) as folder, tempfile.TemporaryDirectory() as scratch:
            measured = _measured(job, judged_path(folder), student, Path(scratch))
    except ServiceError:
        raise  # nothing is known of the champion: the stage is tried again
    except StillhouseError as error:
        return Challenge(champion=version, reason=f"version {version} of production cannot be compared: {error}")
    return Challenge(champion=version, measured=Measured.model_validate(measured))


def _measured(job: Job, champion: Path, student: Path, scratch: Path) -> Mapping[str, Any]:
    job.progress("measuring the student beside what is in production")
    request = {
        "data": str(materialise(job.inputs["data"])),
        "models": {"teacher": str(champion), "student": str(student)},
        "schedule": schedule_of(job.settings, limit=1.0),
    }
    return measure("models.challenge", request, scratch)
