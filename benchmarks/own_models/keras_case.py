"""A Keras model in, a student out as ONNX and LiteRT, beside LiteRT's own int8 converter, in one run.

`PYTHONPATH=src python benchmarks/own_models/keras_case.py FOLDER` trains the Keras model in TensorFlow's environment,
imports it, runs the recipe `keras_case` in this shell, and writes FOLDER/results.json. What is already in the folder
is used again.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from stillhouse.models.data.images import load_images
from stillhouse.models.measurement.latency import Schedule
from stillhouse.models.measurement.statistics import accuracy_difference_interval
from stillhouse.tasks.artifacts.outputs import output_of
from stillhouse.tasks.data.store.build_data import ensure_data
from stillhouse.tasks.foreign.environment import clean_variables, ensure_environment
from stillhouse.tasks.foreign.keras_import import import_keras
from stillhouse.tasks.foreign.litert import Judged, export_litert, judge_files
from stillhouse.tasks.pipeline.graph import stages_of
from stillhouse.tasks.pipeline.run_context import open_run
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.recipe.section import Data
from stillhouse.tasks.settings import Settings, load_settings
from stillhouse.tasks.stages.pull import pull_dataset

HERE = Path(__file__).resolve().parent
KEY = "benchmarks/keras_case"
CALIBRATION = 1000
SCHEDULE = Schedule(repeats=7, most=7, rounds=40, pause_seconds=2, confidence=0.95, limit=1.0)
CONFIDENCE = 0.95


def main() -> None:
    """Make what is missing, judge all files on the gate split, and print the table."""
    work = Path(sys.argv[1]).resolve()
    work.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{work}/mlflow.db")
    settings = load_settings()
    ensure_data(settings, Data(dataset="fashion_mnist"), print)
    data = pull_dataset(settings, Data(dataset="fashion_mnist"))
    train_keras(work, data, settings)
    student, bundle = compress(work, settings)
    calibration_NCHW = load_images(data, "calibration").images_NCHW[:CALIBRATION]
    export_litert(student, calibration_NCHW, work / "student.tflite", settings, print)
    gate = load_images(data, "gate")
    files = [work / name for name in ("litert_int8.tflite", "litert_fp32.tflite", "student.tflite")]
    judged = judge_files(files, gate.images_NCHW, SCHEDULE, settings, print)
    of_onnx = judge_files([work / "teacher.onnx", bundle], gate.images_NCHW, SCHEDULE, settings, print)
    results = summarise(judged, of_onnx, gate.labels_N, (work / "model.keras").stat().st_size)
    (work / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(json.dumps(results, indent=1))


def train_keras(work: Path, data: Path, settings: Settings) -> None:
    """Train and save the Keras model with LiteRT's own files, unless they are there."""
    if (work / "litert_fp32.tflite").is_file():
        return
    train, calibration = load_images(data, "train"), load_images(data, "calibration")
    np.savez(
        work / "data.npz",
        train=train.images_NCHW.transpose(0, 2, 3, 1),
        labels=train.labels_N,
        calibration=calibration.images_NCHW[:CALIBRATION].transpose(0, 2, 3, 1),
    )
    python = ensure_environment(settings, print)
    command = [python, HERE / "keras_model.py", work / "data.npz", work]
    subprocess.run(command, check=True, env=clean_variables())


def compress(work: Path, settings: Settings) -> tuple[Path, Path]:
    """Import the model and run the recipe's stages up to the gate. Returns the student's checkpoint and ONNX file."""
    imported = import_keras(work / "model.keras", work / "model.onnx", settings, print)
    content = yaml.safe_load((HERE / "keras_case.yaml").read_text(encoding="utf-8"))
    content["teacher"] = imported.teacher_section(scale=1)
    recipe = work / "keras_case.yaml"
    recipe.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    for stage in stages_of(load_recipe(recipe)):
        print(f"== {stage.name}", flush=True)
        run_stage(recipe, stage.name, KEY)
        if stage.name == "gate":
            break
    run = open_run(recipe, KEY)
    last = next(stage.inputs["student"] for stage in stages_of(load_recipe(recipe)) if stage.name == "export")
    exported = output_of(run, "export").path
    (work / "teacher.onnx").write_bytes((exported / "teacher" / "model.onnx").read_bytes())
    return output_of(run, last).path / "model", exported / "student" / "model.onnx"


def summarise(judged: Judged, of_onnx: Judged, labels_N: NDArray[np.int64], keras_bytes: int) -> dict[str, Any]:
    """Return the numbers of the table."""
    names = ("LiteRT's int8", "LiteRT fp32", "student, LiteRT int8")
    right = [answers_NK.argmax(1) == labels_N for answers_NK in judged.answers_NK]
    right_onnx = [answers_NK.argmax(1) == labels_N for answers_NK in of_onnx.answers_NK]
    rows = {
        name: {"bytes": size, "accuracy": float(hits.mean())}
        for name, size, hits in zip(names, judged.bytes, right, strict=True)
    }
    onnx_names = ("Keras model as ONNX, fp32", "student, ONNX int8")
    rows |= {
        name: {"bytes": size, "accuracy": float(hits.mean())}
        for name, size, hits in zip(onnx_names, of_onnx.bytes, right_onnx, strict=True)
    }
    agree = (judged.answers_NK[2].argmax(1) == of_onnx.answers_NK[1].argmax(1)).mean()
    pairs = zip(names[1:], judged.comparisons, strict=True)
    return {
        "keras_bytes": keras_bytes,
        "files": rows,
        "times": {
            **{f"{names[0]} / {name}": _times(compared) for name, compared in pairs},
            f"{onnx_names[0]} / {onnx_names[1]}": _times(of_onnx.comparisons[0]),
        },
        "student - LiteRT's int8": accuracy_difference_interval(right[0], right[2], CONFIDENCE),
        "student - Keras": accuracy_difference_interval(right_onnx[0], right[2], CONFIDENCE),
        "LiteRT and ONNX students agree": float(agree),
        "machine": judged.machine,
    }


def _times(compared: dict[str, Any]) -> dict[str, Any]:
    return {
        "baseline_ms": compared["baseline"]["p10"],
        "candidate_ms": compared["candidate"]["p10"],
        "ratio": compared["ratio"],
        "interval": compared["interval"],
    }


if __name__ == "__main__":
    main()
