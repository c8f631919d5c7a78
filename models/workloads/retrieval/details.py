"""Additional results for two retrieval deployables: recalls, index, cost of each encoder, example queries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.data.captions import load_captions
from stillhouse.models.measurement.latency import compare
from stillhouse.models.measurement.step_cost import SCHEDULE as SCREENING
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.retrieval.data import IMAGE, TEXT, EvalSplit, QuerySet
from stillhouse.models.workloads.retrieval.search.index import KINDS, Index, build_index
from stillhouse.models.workloads.retrieval.search.ranks import CUTS, Vectors, recall

EXAMPLES = 12
"""Number of queries whose first answers are shown."""
SHOWN = 5
Answers = dict[str, Vectors]
"""One model's vectors for all inputs of a split."""


def details(
    data: Path, bundles: Mapping[str, Bundle], split: EvalSplit, answers: Mapping[str, Answers]
) -> dict[str, Any]:
    """Return the results of `teacher` and `student` that only retrieval has."""
    teacher, student = answers["teacher"], answers["student"]
    return {
        "cut": split.cut,
        "recalls": {model: {split.name: recalls(split, own)} for model, own in answers.items()},
        "chance": {split.name: chance(split)},
        "encoders": _each_encoder(bundles, split.one_of_each()),
        "index": {kind: _index(split, student, kind) for kind in KINDS},
        "examples": _examples(data, split, teacher, student),
    }


def _each_encoder(bundles: Mapping[str, Bundle], raw: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """Measure bytes and time of each encoder. This timing is a quick screening. The gate uses all encoders together."""
    costs = {}
    for encoder, one in raw.items():
        teacher, student = (bundles[model].file(encoder) for model in ("teacher", "student"))
        timing = compare(teacher, student, one, SCREENING)
        costs[encoder] = {
            "bytes": [teacher.stat().st_size, student.stat().st_size],
            "milliseconds": [timing.baseline.p10, timing.candidate.p10],
            "latency": {"value": timing.ratio, "interval": timing.interval},
        }
    return costs


def recalls(split: EvalSplit, answers: Answers) -> dict[str, Any]:
    """Compute recall@k of each direction and the mean over directions, over all languages and per language."""
    places: dict[str, dict[str, NDArray[np.int64]]] = {way.direction: {} for way in split.query_sets}
    for way in split.query_sets:
        places[way.direction][way.language] = way.ranks(answers, answers)
    told = {direction: _at_cuts(list(of.values())) for direction, of in places.items()}
    mean = {f"recall@{k}": float(np.mean([each[f"recall@{k}"] for each in told.values()])) for k in CUTS}
    return told | {"mean": mean}


def _at_cuts(places: list[NDArray[np.int64]]) -> dict[str, Any]:
    """Compute recall@k over all queries, and per language."""
    return {f"recall@{k}": recall(np.concatenate(places), k) for k in CUTS} | {
        f"recall@{k}_by_language": [recall(each, k) for each in places] for k in CUTS
    }


def chance(split: EvalSplit) -> dict[str, float]:
    """Compute the recall of random answers at the split's cut, in each direction."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for way in split.query_sets:
        found.setdefault(way.direction, []).append(way.chances(split.cut))
    return {direction: float(np.concatenate(each).mean()) for direction, each in found.items()}


def _index(split: EvalSplit, answers: Answers, kind: str) -> dict[str, float]:
    """Measure the recall of sentences over an index of pictures, at the split's cut, and the bytes of the index."""
    index = build_index(answers[IMAGE], "gate", kind)
    found = [_find(index, way, answers, split.cut) for way in split.query_sets if way.encoders == (TEXT, IMAGE)]
    return {"bytes": index.nbytes, "recall": float(np.concatenate(found).mean())}


def _find(index: Index, way: QuerySet, answers: Answers, cut: int) -> NDArray[np.bool_]:
    places_QC = index.search(answers[way.query][way.rows_Q], "gate", cut)
    found_Q: NDArray[np.bool_] = (way.gallery_ids_G[places_QC] == way.target_ids_Q[:, None]).any(1)
    return found_Q


def _examples(data: Path, split: EvalSplit, teacher: Answers, student: Answers) -> list[dict[str, Any]]:
    """Return some queries with the ranked pictures of both models. Spoken queries are preferred."""
    captions = load_captions(data)
    names = {
        (label, language): name
        for label, language, name in zip(captions.labels_N.tolist(), captions.languages, captions.names, strict=True)
    }
    shown = []
    for way, query in split.some_queries(EXAMPLES):
        right = int(np.flatnonzero(way.gallery_ids_G == way.target_ids_Q[query])[0])
        best = {
            name: np.argsort(-way.similarity(each, each)[query], kind="stable")[:SHOWN].tolist()
            for name, each in (("teacher", teacher), ("student", student))
        }
        text = names[int(split.labels_G[right]), way.language]
        shown.append({"text": text, "encoder": way.encoders[0], "row": int(way.rows_Q[query]), "right": right, **best})
    return shown
