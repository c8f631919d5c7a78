"""Measure what is in production beside what may follow it, on the same examples and in turns, in a clean process.

Run as `python -m models.challenge REQUEST ANSWER`, two JSON files. Both are measured now: numbers that were remembered
from another night would carry that night's machine. In the request and in what is shared with the evaluation against
the teacher, the champion has the teacher's place.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import evaluation, retrieval_evaluation
from models.footprint import Comparison, Schedule, compare
from models.inputs.images import load_images
from models.retrieval_evaluation import Asked, answers_of, timing_of
from models.runtime import open_session, predict
from models.towers import files_of
from models.ways import load_role

ROLE = "gate"


def challenge(data: Path, models: Mapping[str, Path], schedule: Schedule) -> dict[str, Any]:
    """Compare `student` with the champion, `teacher`: files of one model each, or folders of towers.

    Returns:
        `paired`, the difference in quality and the churn on the gate role; `bytes` and `latency`, the champion's over
        the student's.
    """
    towers = models["student"].is_dir()
    paired, timing = (_of_towers if towers else _of_files)(data, models, schedule)
    sizes = {name: sum(file.stat().st_size for file in _files(path)) for name, path in models.items()}
    return {
        "paired": paired,
        "bytes": sizes["teacher"] / sizes["student"],
        "latency": {"value": timing.ratio, "interval": timing.interval},
    }


def _files(path: Path) -> list[Path]:
    return files_of(path) if path.is_dir() else [path]


def _of_files(data: Path, models: Mapping[str, Path], schedule: Schedule) -> tuple[dict[str, Any], Comparison]:
    examples = load_images(data, ROLE)
    answers = {
        name: {ROLE: predict(open_session(path), examples.images_NCHW).argmax(1)} for name, path in models.items()
    }
    timing = compare(models["teacher"], models["student"], examples.images_NCHW[:1], schedule)
    return evaluation.paired(answers, examples, ROLE, schedule.confidence), timing


def _of_towers(data: Path, models: Mapping[str, Path], schedule: Schedule) -> tuple[dict[str, Any], Comparison]:
    roles = {ROLE: load_role(data, ROLE)}
    asked = Asked(roles, {name: answers_of(path, roles) for name, path in models.items()}, schedule.confidence)
    return retrieval_evaluation.paired(asked, ROLE), timing_of(data, models, roles[ROLE], schedule)


def main() -> None:
    """Read the request, measure, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    models = {name: Path(path) for name, path in request["models"].items()}
    result = challenge(Path(request["data"]), models, Schedule(**request["schedule"]))
    answer_path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
