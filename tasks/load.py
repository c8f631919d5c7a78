"""Stage `load`: the exported student behind the server that would serve it, with load on it."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.inputs.captions import load_captions
from models.inputs.images import describe, load_images
from tasks.artifact import write_json
from tasks.clean_process import measure
from tasks.job import Job, Metrics
from tasks.pull_data import materialise
from tasks.student_file import locate_student

ANSWER = "load.json"
BODIES = 64
"""Different requests, asked in turn."""


def load(job: Job) -> Metrics:
    """Measure the server's answers at a steady rate and at most, on one core and on all; writes load.json."""
    data = materialise(job.inputs["data"])
    student, _ = locate_student(job.inputs["models"])
    media_type, bodies = requests_of(data, towers=student.is_dir())
    job.progress("putting load on the student's server")
    request = {
        "student": str(student),
        "labels": describe(data)["labels"],
        "media_type": media_type,
        "bodies": [str(_kept(job.scratch / f"body-{number:02}", body)) for number, body in enumerate(bodies)],
    }
    found = measure("tasks.serving.load", request, job.scratch)
    write_json(job.out / ANSWER, found)
    most = {f"answers_per_second_{cores}": rate for cores, rate in found["most"].items()}
    return {"load_p50_ms": found["p50_ms"], "load_p99_ms": found["p99_ms"], "load_lost": float(found["lost"])} | most


def requests_of(data: Path, *, towers: bool) -> tuple[str, list[bytes]]:
    """Give what people would ask of a model: a media type, and bodies of it from the gate role."""
    return _sentences(data) if towers else _pictures(data)


def _pictures(data: Path) -> tuple[str, list[bytes]]:
    """Take pictures of the gate role, as PNG files."""
    return "image/png", [_png(image_CHW) for image_CHW in load_images(data, "gate").images_NCHW[:BODIES]]


def _png(image_CHW: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    image_HWC = image_CHW.transpose(1, 2, 0)
    Image.fromarray(image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC).save(stream, "PNG")
    return stream.getvalue()


def _sentences(data: Path) -> tuple[str, list[bytes]]:
    """Take captions of the gate role, as people would ask for pictures; where captions have no role, any."""
    return "text/plain", [name.encode() for name in load_captions(data).of("gate").names[:BODIES]]


def _kept(path: Path, body: bytes) -> Path:
    path.write_bytes(body)
    return path
