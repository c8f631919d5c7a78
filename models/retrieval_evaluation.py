"""Judge two deployables of towers in a clean process: nothing of the training code is loaded, only what ships.

Run as `python -m models.retrieval_evaluation REQUEST ANSWER`, two JSON files. The answer has the shape of that of
`models.evaluation`, so that gate and report read both alike: an example is a concept, its quality the share of its
queries, both ways and in every language, whose first answer is right. `retrieval` says what is told of retrieval only.
"""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.footprint import Schedule, compare, compare_calls, machine
from models.index import KINDS, Index, build_index
from models.inputs.captions import load_captions
from models.packing import deployable, unpacked, zstd_bytes
from models.retrieval import CUTS, Vectors, recall
from models.serving import Serving, serving_of
from models.statistics import mcnemar_p, mean_interval, paired_intervals
from models.step_cost import SCHEDULE as SCREENING
from models.towers import answer_once, files_of, open_towers
from models.ways import IMAGE, TEXT, Role, Way, load_role

ROLES = ("gate", "sealed")
SAME = 0.98
"""Least cosine of two vectors that count as the same answer of the exported and of the trained tower."""
EXAMPLES = 12
"""Queries whose first answers are shown."""
SHOWN = 5
Answers = dict[str, Vectors]
"""Vectors that one model gives for all inputs of a role."""


def evaluate(data: Path, models: dict[str, Path], schedule: Schedule) -> dict[str, Any]:
    """Measure quality, bytes and time of `teacher` and `student` folders of towers."""
    roles = {role: load_role(data, role) for role in ROLES}
    answers = {model: _answers(folder, roles) for model, folder in models.items()}
    found = {model: {role: roles[role].found(own, own) for role, own in of.items()} for model, of in answers.items()}
    raw = roles["gate"].one_of_each()
    load_before = os.getloadavg()[0]
    openers = [partial(answer_once, models[model], raw, _sentence(data)) for model in ("teacher", "student")]
    timing = compare_calls((openers[0], openers[1]), schedule)
    times = {"teacher": timing.baseline, "student": timing.candidate}
    result: dict[str, Any] = {
        model: {
            **_bytes(folder),
            "latency_ms": asdict(times[model]),
            "quality": {role: _quality(found[model][role], schedule.confidence) for role in ROLES},
            "parity": _parity(roles["gate"], answers[model]["gate"], folder),
            "serving": _serving(folder, raw),
        }
        for model, folder in models.items()
    }
    pairs = {role: (found["teacher"][role], found["student"][role]) for role in ROLES}
    result["ratios"] = {
        "bytes": result["teacher"]["bytes"] / result["student"]["bytes"],
        "latency": {"value": timing.ratio, "interval": timing.interval},
        "quality": {role: _ratio(*pairs[role], schedule.confidence) for role in ROLES},
    }
    result["paired"] = {
        role: _paired(*pairs[role], schedule.confidence)
        | {"churn": _churn(roles[role], answers["teacher"][role], answers["student"][role])}
        for role in ROLES
    }
    result["classes"] = _languages(roles["sealed"], {model: answers[model]["sealed"] for model in models})
    gate, teacher, student = roles["gate"], answers["teacher"]["gate"], answers["student"]["gate"]
    result["retrieval"] = {
        "cut": gate.cut,
        "recalls": {
            model: {role: _recalls(roles[role], each) for role, each in of.items()} for model, of in answers.items()
        },
        "chance": {role: _chance(roles[role]) for role in ROLES},
        "old_index": _ratio(found["teacher"]["gate"], gate.found(student, teacher), schedule.confidence),
        "towers": _each_tower(models, raw),
        "index": {kind: _index(gate, student, kind) for kind in KINDS},
        "examples": _examples(data, gate, teacher, student),
    }
    load = {"load_before": load_before, "load_after": os.getloadavg()[0], "unsteady_repeats": timing.unsteady}
    return result | {"latency_ratios": timing.ratios, "machine": machine() | load}


def _answers(folder: Path, roles: Mapping[str, Role]) -> dict[str, Answers]:
    towers = open_towers(folder)
    return {name: role.vectors(towers.of) for name, role in roles.items()}


def _sentence(data: Path) -> str:
    return load_captions(data).names[0]


def _bytes(folder: Path) -> dict[str, int]:
    files = files_of(folder)
    return {
        "bytes": sum(path.stat().st_size for path in files),
        "zstd_bytes": sum(zstd_bytes(path) for path in files),
        "unpacked_bytes": sum(len(unpacked(path)) for path in files),
    }


def _quality(found_N: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    return {"value": float(found_N.mean()), "interval": mean_interval(found_N, confidence)}


def _ratio(teacher_N: NDArray[np.float64], student_N: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    value = float(student_N.mean() / max(teacher_N.mean(), 1e-9))
    return {"value": value, "interval": paired_intervals(teacher_N, student_N, confidence)[0]}


def _paired(teacher_N: NDArray[np.float64], student_N: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    """Compare the two example by example; the p-value is that of a sign test over examples."""
    interval = paired_intervals(teacher_N, student_N, confidence)[1]
    better = int((teacher_N > student_N).sum()), int((student_N > teacher_N).sum())
    difference = float((student_N - teacher_N).mean())
    return {
        "difference": {"value": difference, "interval": interval, "lower_bound": interval[0]},
        "mcnemar_p": mcnemar_p(*better),
        "discordant": better,
    }


def _churn(role: Role, teacher: Answers, student: Answers) -> float:
    """Share of all queries whose first answer differs."""
    differ = [_firsts(way, teacher) != _firsts(way, student) for way in role.ways]
    return float(np.concatenate(differ).mean())


def _firsts(way: Way, answers: Answers) -> NDArray[np.int64]:
    first_Q: NDArray[np.int64] = way.similarity(answers, answers).argmax(1)
    return first_Q


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


def _languages(role: Role, answers: Mapping[str, Answers]) -> dict[str, Any]:
    """Quality in each language, in the shape in which classes are reported."""
    ways = {language: [way for way in role.ways if way.language == language] for language in role.languages}
    return {
        "labels": list(ways),
        "count": [sum(len(way.rows_Q) for way in of) for of in ways.values()],
        **{
            model: [recall(np.concatenate([way.places(own, own) for way in of]), role.cut) for of in ways.values()]
            for model, own in answers.items()
        },
    }


def _each_tower(models: Mapping[str, Path], raw: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Bytes and time of every tower by itself; the time is a screening, the verdict is on both together."""
    costs = {}
    for tower, one in raw.items():
        teacher, student = (deployable(models[model], tower) for model in ("teacher", "student"))
        timing = compare(teacher, student, one, SCREENING)
        costs[tower] = {
            "bytes": [teacher.stat().st_size, student.stat().st_size],
            "milliseconds": [timing.baseline.p10, timing.candidate.p10],
            "latency": {"value": timing.ratio, "interval": timing.interval},
        }
    return costs


def _recalls(role: Role, answers: Answers) -> dict[str, Any]:
    """Recall@k of each direction and of all together, over all languages and of each."""
    places: dict[str, dict[str, NDArray[np.int64]]] = {way.direction: {} for way in role.ways}
    for way in role.ways:
        places[way.direction][way.language] = way.places(answers, answers)
    told = {direction: _at_cuts(list(of.values())) for direction, of in places.items()}
    mean = {f"recall@{k}": float(np.mean([each[f"recall@{k}"] for each in told.values()])) for k in CUTS}
    return told | {"mean": mean}


def _at_cuts(places: list[NDArray[np.int64]]) -> dict[str, Any]:
    """Recall@k over all queries, and of each language."""
    return {f"recall@{k}": recall(np.concatenate(places), k) for k in CUTS} | {
        f"recall@{k}_by_language": [recall(each, k) for each in places] for k in CUTS
    }


def _chance(role: Role) -> dict[str, float]:
    """Recall at the role's cut, in each direction, of answers drawn at random."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for way in role.ways:
        found.setdefault(way.direction, []).append(way.chances(role.cut))
    return {direction: float(np.concatenate(each).mean()) for direction, each in found.items()}


def _index(role: Role, answers: Answers, kind: str) -> dict[str, float]:
    """Recall, at the role's cut, of sentences over an index of pictures, and the bytes of that."""
    index = build_index(answers[IMAGE], "gate", kind)
    found = [_found(index, way, answers, role.cut) for way in role.ways if way.towers == (TEXT, IMAGE)]
    return {"bytes": index.nbytes, "recall": float(np.concatenate(found).mean())}


def _found(index: Index, way: Way, answers: Answers, cut: int) -> NDArray[np.bool_]:
    places_QC = index.search(answers[way.query][way.rows_Q], "gate", cut)
    found_Q: NDArray[np.bool_] = (way.answers_G[places_QC] == way.right_Q[:, None]).any(1)
    return found_Q


def _examples(data: Path, role: Role, teacher: Answers, student: Answers) -> list[dict[str, Any]]:
    """Give some queries with the places of the first pictures that both models find: spoken ones where there are."""
    captions = load_captions(data)
    names = {
        (label, language): name
        for label, language, name in zip(captions.labels_N.tolist(), captions.languages, captions.names, strict=True)
    }
    shown = []
    for way, query in role.some_queries(EXAMPLES):
        right = int(np.flatnonzero(way.answers_G == way.right_Q[query])[0])
        best = {
            name: np.argsort(-way.similarity(each, each)[query], kind="stable")[:SHOWN].tolist()
            for name, each in (("teacher", teacher), ("student", student))
        }
        text = names[int(role.labels_G[right]), way.language]
        shown.append({"text": text, "tower": way.towers[0], "row": int(way.rows_Q[query]), "right": right, **best})
    return shown


def main() -> None:
    """Read the request, evaluate, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    models = {name: Path(path) for name, path in request["models"].items()}
    result = evaluate(Path(request["data"]), models, Schedule(**request["schedule"]))
    answer_path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
