"""Measure what is in production beside what may follow it, on the same examples and in turns, in a clean process.

Run as `python -m models.challenge REQUEST ANSWER`, two JSON files. Both are measured now: numbers that were remembered
from another night would carry that night's machine. In the request and in what is shared with the evaluation against
the teacher, the champion has the teacher's place.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import evaluation, retrieval_evaluation
from models.errors import ModelError
from models.footprint import Comparison, Schedule, compare
from models.inputs.images import Images, describe, load_images
from models.retrieval_evaluation import Asked, answers_of, timing_of
from models.runtime import open_session, predict
from models.towers import files_of
from models.ways import Role, load_role

ROLE = "gate"
UNKNOWN = (-1.0, 1.0)
"""Interval of a difference of which nothing is known: a slice of one example has no spread."""
Compared = dict[str, Any]


def challenge(data: Path, models: Mapping[str, Path], schedule: Schedule) -> dict[str, Any]:
    """Compare `student` with the champion, `teacher`: files of one model each, or folders of towers.

    Returns:
        `paired`, the difference in quality and the churn on the gate role; `slices`, the difference in quality, student
        minus champion, of every class or language that the role has, with its two-sided interval; `bytes` and
        `latency`, the champion's over the student's.
    """
    towers = models["student"].is_dir()
    compared, timing = (_of_towers if towers else _of_files)(data, models, schedule)
    sizes = {name: sum(file.stat().st_size for file in _files(path)) for name, path in models.items()}
    return {
        **compared,
        "bytes": sizes["teacher"] / sizes["student"],
        "latency": {"value": timing.ratio, "interval": timing.interval},
    }


def _files(path: Path) -> list[Path]:
    return files_of(path) if path.is_dir() else [path]


def _of_files(data: Path, models: Mapping[str, Path], schedule: Schedule) -> tuple[Compared, Comparison]:
    examples, labels = load_images(data, ROLE), describe(data)["labels"]
    answers = {name: predict(open_session(path), examples.images_NCHW).argmax(1) for name, path in models.items()}
    timing = compare(models["teacher"], models["student"], examples.images_NCHW[:1], schedule)
    whole = _pair(answers, examples, np.ones(len(examples), bool), schedule.confidence)
    return {"paired": whole, "slices": by_class(answers, examples, labels, schedule.confidence)}, timing


def by_class(
    answers: Mapping[str, NDArray[np.int64]], examples: Images, labels: Sequence[str], confidence: float
) -> dict[str, Any]:
    """Give the difference in accuracy, `student` minus `teacher`, for each class that has examples."""
    return {
        str(labels[label]): _pair(answers, examples, examples.labels_N == label, confidence)["difference"]
        for label in np.unique(examples.labels_N).tolist()
    }


def _pair(
    answers: Mapping[str, NDArray[np.int64]], examples: Images, chosen_N: NDArray[np.bool_], confidence: float
) -> dict[str, Any]:
    """Compare the two on some of the examples."""
    some = Images(examples.images_NCHW[chosen_N], examples.labels_N[chosen_N])
    return evaluation.paired(
        {name: {ROLE: answers_N[chosen_N]} for name, answers_N in answers.items()}, some, ROLE, confidence
    )


def _of_towers(data: Path, models: Mapping[str, Path], schedule: Schedule) -> tuple[Compared, Comparison]:
    roles = {ROLE: load_role(data, ROLE)}
    asked = Asked(roles, {name: answers_of(path, roles) for name, path in models.items()}, schedule.confidence)
    slices = {language: in_language(asked, language) for language in roles[ROLE].languages}
    whole = retrieval_evaluation.paired(asked, ROLE)
    return {"paired": whole, "slices": slices}, timing_of(data, models, roles[ROLE], schedule)


def in_language(asked: Asked, language: str) -> dict[str, Any]:
    """Give the difference in quality, `student` minus `teacher`, on what the role asks in one language."""
    role = _part_of(asked.roles[ROLE], language)
    part = replace(asked, roles={ROLE: role})
    try:
        difference: dict[str, Any] = retrieval_evaluation.paired(part, ROLE)["difference"]
    except ModelError:
        return {"value": 0.0, "interval": UNKNOWN}
    return difference if role.count > 1 else difference | {"interval": UNKNOWN}


def _part_of(role: Role, language: str) -> Role:
    """Keep of a role what is asked in one language, and the examples that are."""
    ways = [way for way in role.ways if way.language == language]
    own_M = np.unique(np.concatenate([way.examples_Q for way in ways]))
    renumbered = [replace(way, examples_Q=np.searchsorted(own_M, way.examples_Q)) for way in ways]
    return replace(role, ways=renumbered, count=len(own_M), groups_N=role.groups_N[own_M])


def main() -> None:
    """Read the request, measure, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    models = {name: Path(path) for name, path in request["models"].items()}
    result = challenge(Path(request["data"]), models, Schedule(**request["schedule"]))
    answer_path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
