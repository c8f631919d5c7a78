"""Judge two deployables of towers in a clean process: nothing of the training code is loaded, only what ships.

Run as `python -m models.retrieval_evaluation REQUEST ANSWER`, two JSON files. The answer has the shape of that of
`models.evaluation`, so that gate and report read both alike: an example is a concept, its quality the share of its
queries, both ways and in every language, that are answered within the role's cut. `retrieval` says what is told of
retrieval only.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.footprint import Comparison, Schedule, compare_calls, machine
from models.inputs.captions import load_captions
from models.packing import deployable, unpacked, zstd_bytes
from models.retrieval_details import Answers, details, languages
from models.serving import Serving, serving_of
from models.statistics import Groups, group_sums, mcnemar_p, mean_interval, paired_intervals
from models.towers import answer_once, files_of, open_towers
from models.ways import Role, Way, load_role

MODELS = ("teacher", "student")
ROLES = ("gate",)
"""What is judged. `models.final_test` alone opens the role `sealed`."""
SAME = 0.98
"""Least cosine of two vectors that count as the same answer of the exported and of the trained tower."""


@dataclass(frozen=True)
class Asked:
    """What the two models answered to all that some roles ask."""

    roles: Mapping[str, Role]
    answers: Mapping[str, Mapping[str, Answers]]
    """By model, then by role."""
    confidence: float

    def found(self, model: str, role: str) -> NDArray[np.float64]:
        """Quality (N,) of every example."""
        own = self.answers[model][role]
        return self.roles[role].found(own, own)

    def pair(self, role: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Quality of every example, teacher's and student's."""
        return self.found("teacher", role), self.found("student", role)


def evaluate(data: Path, models: Mapping[str, Path], schedule: Schedule) -> dict[str, Any]:
    """Measure quality, bytes and time of `teacher` and `student` folders of towers."""
    roles = {role: load_role(data, role) for role in ROLES}
    asked = Asked(roles, {model: answers_of(models[model], roles) for model in MODELS}, schedule.confidence)
    load_before = os.getloadavg()[0]
    timing = timing_of(data, models, roles["gate"], schedule)
    load = {"load_before": load_before, "load_after": os.getloadavg()[0], "unsteady_repeats": timing.unsteady}
    times = {"teacher": timing.baseline, "student": timing.candidate}
    measures = {
        model: _measures(asked, model, models[model]) | {"latency_ms": asdict(times[model])} for model in MODELS
    }
    return {
        **measures,
        "ratios": {
            "bytes": measures["teacher"]["bytes"] / measures["student"]["bytes"],
            "latency": {"value": timing.ratio, "interval": timing.interval},
            "quality": {role: ratio(asked, role) for role in ROLES},
        },
        "paired": {role: paired(asked, role) for role in ROLES},
        "classes": languages(roles["gate"], {model: asked.answers[model]["gate"] for model in MODELS}),
        "retrieval": {"old_index": old_index(asked), **details(data, models, roles, asked.answers)},
        "latency_ratios": timing.ratios,
        "machine": machine() | load,
    }


def answers_of(folder: Path, roles: Mapping[str, Role]) -> dict[str, Answers]:
    """Embed all that every role asks."""
    towers = open_towers(folder)
    return {name: role.vectors(towers.of) for name, role in roles.items()}


def timing_of(data: Path, models: Mapping[str, Path], role: Role, schedule: Schedule) -> Comparison:
    """Time one answer of all towers, teacher and student in turns."""
    raw, sentence = role.one_of_each(), load_captions(data).names[0]
    teacher, student = (partial(answer_once, models[model], raw, sentence) for model in MODELS)
    return compare_calls((teacher, student), schedule)


def _measures(asked: Asked, model: str, folder: Path) -> dict[str, Any]:
    """Measure one model by itself."""
    gate = asked.roles["gate"]
    return {
        **_bytes(folder),
        "quality": {role: quality(asked, model, role) for role in ROLES},
        "parity": _parity(gate, asked.answers[model]["gate"], folder),
        "serving": _serving(folder, gate.one_of_each()),
    }


def _bytes(folder: Path) -> dict[str, int]:
    files = files_of(folder)
    return {
        "bytes": sum(path.stat().st_size for path in files),
        "zstd_bytes": sum(zstd_bytes(path) for path in files),
        "unpacked_bytes": sum(len(unpacked(path)) for path in files),
    }


def quality(asked: Asked, model: str, role: str) -> dict[str, Any]:
    """Give the mean quality of a role's examples with its two-sided interval; groups are resampled."""
    found_N = asked.found(model, role)
    return {
        "value": float(found_N.mean()),
        "interval": mean_interval(found_N, asked.confidence, asked.roles[role].groups_N),
    }


def _parity(role: Role, answers: Answers, folder: Path) -> float:
    """Share of a tower's first inputs of the gate, over all towers, that the trained and the exported put apart."""
    cosines = [
        (answers[key] * np.load(folder / f"{role.inputs[key].tower}.npy", allow_pickle=False)).sum(1)
        for key in role.first_keys()
    ]
    return float((np.concatenate(cosines) < SAME).mean())


def _serving(folder: Path, raw: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Add up what each tower takes."""
    parts = [asdict(serving_of(deployable(folder, tower), one)) for tower, one in raw.items()]
    return {field.name: sum(part[field.name] for part in parts) for field in fields(Serving)}


def ratio(asked: Asked, role: str) -> dict[str, Any]:
    """Give the student's quality / the teacher's with its two-sided interval; groups are resampled."""
    return _ratio(*asked.pair(role), asked.roles[role].groups_N, asked.confidence)


def _ratio(
    teacher_N: NDArray[np.float64], student_N: NDArray[np.float64], groups_N: Groups, confidence: float
) -> dict[str, Any]:
    value = float(student_N.mean() / max(teacher_N.mean(), 1e-9))
    return {"value": value, "interval": paired_intervals(teacher_N, student_N, confidence, groups_N)[0]}


def paired(asked: Asked, role: str) -> dict[str, Any]:
    """Compare the two example by example; the p-value is that of a sign test over groups of examples."""
    (teacher_N, student_N), groups_N = asked.pair(role), asked.roles[role].groups_N
    interval = paired_intervals(teacher_N, student_N, asked.confidence, groups_N)[1]
    better = _better(teacher_N, student_N)
    sums_G2 = group_sums(np.stack([teacher_N, student_N], axis=1), groups_N).round(9)
    difference = float((student_N - teacher_N).mean())
    return {
        "difference": {"value": difference, "interval": interval, "lower_bound": interval[0]},
        "mcnemar_p": mcnemar_p(*_better(*sums_G2.T)),
        "discordant": better,
        "churn": _churn(asked.roles[role], *(asked.answers[model][role] for model in MODELS)),
    }


def _better(teacher_N: NDArray[np.float64], student_N: NDArray[np.float64]) -> tuple[int, int]:
    """Count where the teacher is better, and where the student is."""
    return int((teacher_N > student_N).sum()), int((student_N > teacher_N).sum())


def _churn(role: Role, teacher: Answers, student: Answers) -> float:
    """Share of all queries whose first answer differs."""
    differ = [_firsts(way, teacher) != _firsts(way, student) for way in role.ways]
    return float(np.concatenate(differ).mean())


def _firsts(way: Way, answers: Answers) -> NDArray[np.int64]:
    first_Q: NDArray[np.int64] = way.similarity(answers, answers).argmax(1)
    return first_Q


def old_index(asked: Asked) -> dict[str, Any]:
    """Keep the teacher's index and ask it with the student: what of the teacher's quality is left."""
    teacher, student = (asked.answers[model]["gate"] for model in MODELS)
    mixed_N = asked.roles["gate"].found(student, teacher)
    return _ratio(asked.found("teacher", "gate"), mixed_N, asked.roles["gate"].groups_N, asked.confidence)


def main() -> None:
    """Read the request, evaluate, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    models = {name: Path(path) for name, path in request["models"].items()}
    result = evaluate(Path(request["data"]), models, Schedule(**request["schedule"]))
    answer_path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
