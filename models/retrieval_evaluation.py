"""Judge two deployables of towers in a clean process: nothing of the training code is loaded, only what ships.

Run as `python -m models.retrieval_evaluation REQUEST ANSWER`, two JSON files. The answer has the shape of that of
`models.evaluation`, so that gate and report read both alike: an example is a concept, its quality the share of its
queries, both ways and in every language, whose first answer is right. `retrieval` says what is told of retrieval only.
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

from models.footprint import Schedule, compare, compare_calls, machine
from models.index import KINDS, build_index
from models.inputs.captions import load_captions
from models.inputs.images import load_images
from models.inputs.text import codes_of
from models.packing import deployable, unpacked, zstd_bytes
from models.retrieval import CUTS, Vectors, both_ways, hits, ranks, recall
from models.serving import Serving, serving_of
from models.statistics import mcnemar_p, mean_interval, paired_intervals
from models.step_cost import SCHEDULE as SCREENING
from models.towers import IMAGE, TEXT, answer_once, files_of, open_towers

ROLES = ("gate", "sealed")
SAME = 0.98
"""Least cosine of two vectors that count as the same answer of the exported and of the trained tower."""
EXAMPLES = 12
"""Queries whose first answers are shown."""
SHOWN = 5


@dataclass(frozen=True)
class Role:
    """The queries of one role: every drawing, and the name of what it shows in every language."""

    images_NCHW: NDArray[np.uint8]
    names: dict[str, list[str]]


@dataclass(frozen=True)
class Answers:
    """Vectors that one model gives for a role."""

    images_ND: Vectors
    texts_TND: Vectors


def load_role(data: Path, role: str) -> Role:
    """Read a role of a materialised dataset."""
    images, captions = load_images(data, role), load_captions(data)
    found = {
        (label, language): name
        for label, language, name in zip(captions.labels_N.tolist(), captions.languages, captions.names, strict=True)
    }
    languages = sorted(set(captions.languages))
    names = {language: [found[label, language] for label in images.labels_N.tolist()] for language in languages}
    return Role(images.images_NCHW, names)


def evaluate(data: Path, models: dict[str, Path], schedule: Schedule) -> dict[str, Any]:
    """Measure quality, bytes and time of `teacher` and `student` folders of towers."""
    roles = {role: load_role(data, role) for role in ROLES}
    answers = {model: {role: _answers(folder, roles[role]) for role in ROLES} for model, folder in models.items()}
    found = {model: {role: _hits(answers[model][role]) for role in ROLES} for model in models}
    image_NCHW, sentence = roles["gate"].images_NCHW[:1], next(iter(roles["gate"].names.values()))[0]
    raw: dict[str, NDArray[Any]] = {IMAGE: image_NCHW, TEXT: codes_of([sentence])}
    load_before = os.getloadavg()[0]
    openers = [partial(answer_once, models[model], image_NCHW, sentence) for model in ("teacher", "student")]
    timing = compare_calls((openers[0], openers[1]), schedule)
    times = {"teacher": timing.baseline, "student": timing.candidate}
    result: dict[str, Any] = {
        model: {
            **_bytes(folder),
            "latency_ms": asdict(times[model]),
            "quality": {role: _quality(found[model][role], schedule.confidence) for role in ROLES},
            "parity": _parity(answers[model]["gate"], folder),
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
        | {"churn": _churn(answers["teacher"][role], answers["student"][role])}
        for role in ROLES
    }
    result["classes"] = _languages(roles["sealed"], {model: answers[model]["sealed"] for model in models})
    teacher, student = answers["teacher"]["gate"], answers["student"]["gate"]
    result["retrieval"] = {
        "recalls": {model: {role: _recalls(each) for role, each in of.items()} for model, of in answers.items()},
        "old_index": _ratio(found["teacher"]["gate"], _old_index(teacher, student), schedule.confidence),
        "towers": _each_tower(models, raw),
        "index": {kind: _index(student, kind) for kind in KINDS},
        "examples": _examples(roles["gate"], teacher, student),
    }
    load = {"load_before": load_before, "load_after": os.getloadavg()[0], "unsteady_repeats": timing.unsteady}
    return result | {"latency_ratios": timing.ratios, "machine": machine() | load}


def _answers(folder: Path, role: Role) -> Answers:
    towers = open_towers(folder)
    return Answers(
        towers.of_images(role.images_NCHW), np.stack([towers.of_texts(names) for names in role.names.values()])
    )


def _hits(answers: Answers) -> NDArray[np.float64]:
    return hits(answers.images_ND, answers.texts_TND)


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
    """Compare the two concept by concept; the p-value is that of a sign test over concepts."""
    interval = paired_intervals(teacher_N, student_N, confidence)[1]
    better = int((teacher_N > student_N).sum()), int((student_N > teacher_N).sum())
    difference = float((student_N - teacher_N).mean())
    return {
        "difference": {"value": difference, "interval": interval, "lower_bound": interval[0]},
        "mcnemar_p": mcnemar_p(*better),
        "discordant": better,
    }


def _churn(teacher: Answers, student: Answers) -> float:
    """Share of all queries whose first answer differs."""
    differ = [
        _firsts(t, teacher.images_ND) != _firsts(s, student.images_ND)
        for t, s in zip(teacher.texts_TND, student.texts_TND, strict=True)
    ]
    differ += [
        _firsts(teacher.images_ND, t) != _firsts(student.images_ND, s)
        for t, s in zip(teacher.texts_TND, student.texts_TND, strict=True)
    ]
    return float(np.mean(differ))


def _firsts(queries_QD: Vectors, gallery_GD: Vectors) -> NDArray[np.int64]:
    first_Q: NDArray[np.int64] = (queries_QD @ gallery_GD.T).argmax(1)
    return first_Q


def _parity(answers: Answers, folder: Path) -> float:
    """Share of the gate's drawings and names that the trained tower puts elsewhere than the exported one."""
    exported = {IMAGE: answers.images_ND, TEXT: answers.texts_TND[0]}
    cosines = [
        (vectors_ND * np.load(folder / f"{tower}.npy", allow_pickle=False)).sum(1)
        for tower, vectors_ND in exported.items()
    ]
    return float((np.concatenate(cosines) < SAME).mean())


def _serving(folder: Path, raw: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Add up what each tower takes."""
    parts = [asdict(serving_of(deployable(folder, tower), one)) for tower, one in raw.items()]
    return {field.name: sum(part[field.name] for part in parts) for field in fields(Serving)}


def _languages(role: Role, answers: Mapping[str, Answers]) -> dict[str, Any]:
    """Recall@1 of each language, in the shape in which classes are reported."""
    return {
        "labels": list(role.names),
        "count": [2 * len(role.images_NCHW)] * len(role.names),
        **{
            model: [recall(both_ways(found.images_ND, texts_ND), 1) for texts_ND in found.texts_TND]
            for model, found in answers.items()
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


def _recalls(answers: Answers) -> dict[str, Any]:
    """Recall@k both ways, of each language and over all."""
    places_T2N = np.stack([both_ways(answers.images_ND, texts_ND) for texts_ND in answers.texts_TND])
    ways = {"text_to_image": places_T2N[:, 0], "image_to_text": places_T2N[:, 1], "mean": places_T2N}
    return {
        way: {f"recall@{k}": recall(places, k) for k in CUTS}
        | {f"recall@{k}_by_language": [recall(one, k) for one in places] for k in CUTS}
        for way, places in ways.items()
    }


def _old_index(teacher: Answers, student: Answers) -> NDArray[np.float64]:
    """Recall@1 (N,) of the student's queries in the index that the teacher made."""
    texts = [hits_one_way(s, teacher.images_ND) for s in student.texts_TND]
    images = [hits_one_way(student.images_ND, t) for t in teacher.texts_TND]
    found_N: NDArray[np.float64] = np.mean([*texts, *images], axis=0)
    return found_N


def hits_one_way(queries_ND: Vectors, gallery_ND: Vectors) -> NDArray[np.float64]:
    """Tell (N,) whether the first of each query's answers is its own."""
    found_N: NDArray[np.float64] = (ranks(queries_ND @ gallery_ND.T, np.arange(len(queries_ND))) < 1).astype(float)
    return found_N


def _index(student: Answers, kind: str) -> dict[str, float]:
    """Recall@1 of sentences over an index of drawings, and its bytes."""
    index = build_index(student.images_ND, "gate", kind)
    own_N = np.arange(len(student.images_ND))
    first = [index.search(texts_ND, "gate", 1)[:, 0] == own_N for texts_ND in student.texts_TND]
    return {"bytes": index.nbytes, "recall@1": float(np.mean(first))}


def _examples(role: Role, teacher: Answers, student: Answers) -> list[dict[str, Any]]:
    """Give some sentences with the places of the first drawings that both models find."""
    language = "en" if "en" in role.names else next(iter(role.names))
    place = list(role.names).index(language)
    chosen = np.linspace(0, len(role.images_NCHW) - 1, EXAMPLES).astype(int)
    return [
        {
            "text": role.names[language][one],
            "right": int(one),
            **{
                name: np.argsort(-(each.images_ND @ each.texts_TND[place][one]), kind="stable")[:SHOWN].tolist()
                for name, each in (("teacher", teacher), ("student", student))
            },
        }
        for one in chosen
    ]


def main() -> None:
    """Read the request, evaluate, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    models = {name: Path(path) for name, path in request["models"].items()}
    result = evaluate(Path(request["data"]), models, Schedule(**request["schedule"]))
    answer_path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
