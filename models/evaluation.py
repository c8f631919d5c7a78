"""Judge two exported files in a clean process: nothing of the training code is loaded, only what ships.

Run as `python -m models.evaluation REQUEST ANSWER`, two JSON files.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.footprint import Schedule, compare, machine
from models.inputs.images import Images, describe, load_images
from models.metrics import churn, recall_per_class, right
from models.packing import unpacked, zstd_bytes
from models.runtime import open_session, predict
from models.serving import serving_of
from models.statistics import (
    accuracy_difference_interval,
    accuracy_ratio_interval,
    mcnemar_p,
    pair_counts,
    wilson_interval,
)

ROLES = ("gate",)
"""What is judged. `models.final_test` alone opens the role `sealed`."""


def evaluate(data: Path, models: dict[str, Path], schedule: Schedule) -> dict[str, Any]:
    """Measure quality, bytes and time of `teacher` and `student` files."""
    examples = {role: load_images(data, role) for role in ROLES}
    answers = {
        model: {role: predict(open_session(path), examples[role].images_NCHW).argmax(1) for role in ROLES}
        for model, path in models.items()
    }
    load_before = os.getloadavg()[0]
    timing = compare(models["teacher"], models["student"], examples["gate"].images_NCHW[:1], schedule)
    times = {"teacher": timing.baseline, "student": timing.candidate}
    result: dict[str, Any] = {
        model: {
            "bytes": path.stat().st_size,
            "zstd_bytes": zstd_bytes(path),
            "unpacked_bytes": len(unpacked(path)),
            "latency_ms": asdict(times[model]),
            "quality": {role: accuracy(answers[model][role], examples[role], schedule.confidence) for role in ROLES},
            "parity": _parity(answers[model]["gate"], path.with_name(f"{model}.answers.json")),
            "serving": asdict(serving_of(path, examples["gate"].images_NCHW[:1])),
        }
        for model, path in models.items()
    }
    result["ratios"] = {
        "bytes": result["teacher"]["bytes"] / result["student"]["bytes"],
        "latency": {"value": timing.ratio, "interval": timing.interval},
        "quality": {role: ratio(answers, examples[role], role, schedule.confidence) for role in ROLES},
    }
    result["paired"] = {role: paired(answers, examples[role], role, schedule.confidence) for role in ROLES}
    labels = describe(data)["labels"]
    judged = examples["gate"].labels_N
    result["classes"] = {
        "labels": labels,
        "count": np.bincount(judged, minlength=len(labels)).tolist(),
        **{model: recall_per_class(answers[model]["gate"], judged, len(labels)) for model in models},
    }
    load = {"load_before": load_before, "load_after": os.getloadavg()[0], "unsteady_repeats": timing.unsteady}
    return result | {"latency_ratios": timing.ratios, "machine": machine() | load}


def accuracy(answers_N: NDArray[np.int64], examples: Images, confidence: float) -> dict[str, Any]:
    """Give the share of right answers with its two-sided interval."""
    found = right(answers_N, examples.labels_N)
    return {"value": float(found.mean()), "interval": wilson_interval(int(found.sum()), len(found), confidence)}


def ratio(answers: Mapping[str, Mapping[str, Any]], examples: Images, role: str, confidence: float) -> dict[str, Any]:
    """Give accuracy of `student` / accuracy of `teacher` with its two-sided interval."""
    teacher, student = (right(answers[model][role], examples.labels_N) for model in ("teacher", "student"))
    value = float(student.mean() / max(teacher.mean(), 1e-9))
    return {"value": value, "interval": accuracy_ratio_interval(teacher, student, confidence)}


def paired(answers: Mapping[str, Mapping[str, Any]], examples: Images, role: str, confidence: float) -> dict[str, Any]:
    """Compare `teacher` and `student` example by example.

    `confidence` is two-sided, so that of `lower_bound` is (1 + it) / 2.
    """
    teacher, student = (right(answers[model][role], examples.labels_N) for model in ("teacher", "student"))
    interval = accuracy_difference_interval(teacher, student, confidence)
    _, teacher_only, student_only, _ = pair_counts(teacher, student)
    return {
        "difference": {
            "value": (student_only - teacher_only) / len(examples),
            "interval": interval,
            "lower_bound": interval[0],
        },
        "mcnemar_p": mcnemar_p(teacher_only, student_only),
        "discordant": [teacher_only, student_only],
        "churn": churn(answers["teacher"][role], answers["student"][role]),
    }


def _parity(answers_N: NDArray[np.int64], path: Path) -> float:
    expected_N = np.array(json.loads(path.read_text(encoding="utf-8")))
    return float((answers_N != expected_N).mean())


def main() -> None:
    """Read the request, evaluate, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    models = {name: Path(path) for name, path in request["models"].items()}
    result = evaluate(Path(request["data"]), models, Schedule(**request["schedule"]))
    answer_path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
