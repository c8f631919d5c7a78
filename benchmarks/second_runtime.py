"""Would OpenVINO be a faster runtime for a student of ours? The same network in both, in turns on one pinned thread.

`PYTHONPATH=. .venv-peers/bin/python -m benchmarks.second_runtime STUDENT DATA`, with the folder of a recipe's last
compressing step and of a materialised dataset. OpenVINO cannot read our integer files, whose convolutions have a scale
per channel, so it gets the student's floats, made int8 by NNCF. It is asked twice: as `infer(image)`, which everybody
writes, and through the request's own tensors; ONNX Runtime is asked as everybody writes it.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino

from benchmarks.peers.runners import RUNNERS
from stillhouse.models.data.images import load_images
from stillhouse.models.measurement.statistics import geometric_interval
from stillhouse.models.onnx.export import export_float
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.training.checkpoint import load_model

REPEATS, ROUNDS = 9, 200
OURS = "ONNX Runtime, as it ships"


def main() -> None:
    """Make OpenVINO's file, let all take turns, print."""
    student, data = map(Path, sys.argv[1:])
    images_NCHW = load_images(data, "calibration").images_NCHW
    with tempfile.TemporaryDirectory() as folder:
        theirs = converted(student, images_NCHW, Path(folder))
        deployables = {
            OURS: ("stillhouse", str(deployable(student, "model"))),
            "OpenVINO": ("openvino f32", theirs),
            "OpenVINO, own tensors": ("openvino bare", theirs),
        }
        print(f"the same class for {_agreement(deployables, images_NCHW):.1%} of the calibration images")
        request = {"data": str(data.resolve()), "deployables": deployables, "rounds": ROUNDS}
        times = [_repeat(request | {"seed": seed}, Path(folder)) for seed in range(REPEATS)]
    for name in deployables:
        microseconds = 1e3 * float(np.exp(np.mean([np.log(found[name]) for found in times])))
        ratio, (low, high) = geometric_interval([found[OURS] / found[name] for found in times], 0.95)
        print(f"{name:26} {microseconds:6.1f} us, {ratio:.2f} ({low:.2f} to {high:.2f}) times as fast as what ships")


def converted(student: Path, images_NCHW: np.ndarray, folder: Path) -> str:
    """Write the student as OpenVINO's int8 graph for one image at a time; returns its path."""
    module, architecture = load_model(student)
    export_float(module, architecture, folder / "student.onnx")
    model = openvino.convert_model(folder / "student.onnx")
    model.reshape([1, *images_NCHW.shape[1:]])
    images = [image_CHW[None] for image_CHW in images_NCHW]
    openvino.save_model(nncf.quantize(model, nncf.Dataset(images), subset_size=len(images)), folder / "student.xml")
    return str(folder / "student.xml")


def _repeat(request: dict[str, Any], folder: Path) -> dict[str, float]:
    """Time in a process that has done nothing else: threads that OpenVINO started before it was pinned slow it."""
    asked, answered = folder / "request.json", folder / "answer.json"
    asked.write_text(json.dumps(request), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "benchmarks.peers.timing", asked, answered], check=True)
    found: dict[str, float] = json.loads(answered.read_text(encoding="utf-8"))
    return found


def _agreement(deployables: dict[str, tuple[str, str]], images_NCHW: np.ndarray) -> float:
    ours, theirs = (
        [int(run(image_CHW[None]).argmax()) for image_CHW in images_NCHW]
        for run in (RUNNERS[runtime](Path(file)) for runtime, file in list(deployables.values())[:2])
    )
    return float(np.mean(np.equal(ours, theirs)))


if __name__ == "__main__":
    main()
