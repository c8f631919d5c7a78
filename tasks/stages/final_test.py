"""Stage `final_test`: measure a candidate that passed its gate once on the split `test`. It decides nothing.

If the verdict is not PASS, the split stays closed. If a student with the same file digest was tested before, it is not
tested again: the earlier result is taken from MLflow.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.artifacts.locks import waiting
from stillhouse.tasks.artifacts.student_file import MODELS, REFERENCES, locate_student
from stillhouse.tasks.judging.clean_process import measure
from stillhouse.tasks.judging.final_test import ANSWER, FinalTest, Opened, parse_final_test
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.settings import load_settings
from stillhouse.tasks.stages.pull import materialise, read_pointer
from stillhouse.tasks.tracking.connection import connect
from stillhouse.tasks.tracking.held_out import looks_at, note_look, split_digests
from stillhouse.tasks.tracking.tags import FINISHED, PREFIX

SPLIT = "test"


def final_test(job: Job) -> Metrics:
    """Measure the teacher and the student on the split `test`, and write final_test.json."""
    found = _final_test(job)
    write_json(job.out / ANSWER, found.model_dump(mode="json"))
    return {} if found.opened is None else {"opening": float(found.opened.opening)}


def _final_test(job: Job) -> FinalTest:
    gate = json.loads((job.inputs["gate"] / "gate.json").read_text(encoding="utf-8"))
    if gate["verdict"] != "PASS":
        reason = f"the verdict is {gate['verdict']}, so the test split stays closed"
        job.progress(reason)
        return FinalTest(skipped=reason)
    settings, digest = load_settings(), locate_student(job.inputs["models"]).digest
    with waiting(settings.state / "locks" / f"final_test-{digest}.lock"):
        return FinalTest(opened=_open_split(job, connect(settings.tracking_uri), digest))


def _open_split(job: Job, client: MlflowClient, digest: str) -> Opened:
    """Return the earlier result of this file. If there is none, open the split now."""
    splits = split_digests(materialise(job.inputs["data"]))
    earlier = _earlier(client, splits[SPLIT], digest)
    if earlier:
        job.progress("this file was tested on the test split before; the split stays closed")
        return earlier
    facts = {
        "recipe": job.settings["name"],
        "looked": "final_test",
        "data_version": str(read_pointer(job.inputs["data"])["data_version"]),
        "digest": digest,
    }
    look = note_look(client, SPLIT, splits[SPLIT], facts)
    job.progress("opening the test split for this candidate")
    opening = len(looks_at(client, SPLIT, splits[SPLIT]))
    found = Opened.model_validate(_measure(job) | {"opening": opening, "split_digests": splits})
    client.log_dict(look, FinalTest(opened=found).model_dump(mode="json"), ANSWER)
    client.set_terminated(look)
    return found


def _measure(job: Job) -> dict[str, Any]:
    request = {
        "workload": job.settings["workload"],
        "data": str(materialise(job.inputs["data"])),
        "models": {name: str(job.inputs["models"] / name) for name in MODELS},
        "references": str(job.inputs["models"] / REFERENCES),
        "confidence": 2 * job.settings["confidence"] - 1,
    }
    return measure("stillhouse.models.evaluation.final_test", request, job.scratch)


def _earlier(client: MlflowClient, split_digest: str, digest: str) -> Opened | None:
    """Find the finished look at this split with this file digest. A look whose result is lost does not count."""
    for run in looks_at(client, SPLIT, split_digest):
        if run.data.tags.get(f"{PREFIX}digest") == digest and run.info.status == FINISHED:
            found = _result(client, run.info.run_id)
            if found:
                return found
    return None


def _result(client: MlflowClient, run_id: str) -> Opened | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            text = Path(client.download_artifacts(run_id, ANSWER, folder)).read_text(encoding="utf-8")
        except (MlflowException, OSError):
            return None
    return parse_final_test(json.loads(text)).opened
