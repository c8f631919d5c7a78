"""Measure the quality of two deployables on the role `sealed`, once, in a clean process; nothing is decided on it.

Run as `python -m models.final_test REQUEST ANSWER`, two JSON files. Bytes and time are those of the evaluation.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models import evaluation, retrieval_evaluation
from models.inputs.images import load_images
from models.retrieval_details import chance, recalls
from models.retrieval_evaluation import Asked, answers_of
from models.runtime import open_session, predict
from models.ways import load_role

ROLE = "sealed"
MODELS = ("teacher", "student")


def final_test(data: Path, models: Mapping[str, Path], confidence: float) -> dict[str, Any]:
    """Compare `teacher` and `student` on the sealed examples: files of one model each, or folders of towers.

    Args:
        data: a materialised dataset.
        models: the two deployables.
        confidence: of each interval, two-sided.

    Returns:
        `teacher` and `student`, the quality of each with its interval; `ratio`, student / teacher; `paired`, the
        comparison example by example; of towers also `recalls` and `chance`, by role.
    """
    towers = models["student"].is_dir()
    return (_of_towers if towers else _of_files)(data, models, confidence)


def _of_files(data: Path, models: Mapping[str, Path], confidence: float) -> dict[str, Any]:
    examples = load_images(data, ROLE)
    answers = {
        name: {ROLE: predict(open_session(path), examples.images_NCHW).argmax(1)} for name, path in models.items()
    }
    return {
        **{name: evaluation.accuracy(answers[name][ROLE], examples, confidence) for name in MODELS},
        "ratio": evaluation.ratio(answers, examples, ROLE, confidence),
        "paired": evaluation.paired(answers, examples, ROLE, confidence),
    }


def _of_towers(data: Path, models: Mapping[str, Path], confidence: float) -> dict[str, Any]:
    roles = {ROLE: load_role(data, ROLE)}
    asked = Asked(roles, {name: answers_of(models[name], roles) for name in MODELS}, confidence)
    return {
        **{name: retrieval_evaluation.quality(asked, name, ROLE) for name in MODELS},
        "ratio": retrieval_evaluation.ratio(asked, ROLE),
        "paired": retrieval_evaluation.paired(asked, ROLE),
        "recalls": {name: {ROLE: recalls(roles[ROLE], asked.answers[name][ROLE])} for name in MODELS},
        "chance": {ROLE: chance(roles[ROLE])},
    }


def main() -> None:
    """Read the request, measure, write the answer."""
    request_path, answer_path = map(Path, sys.argv[1:])
    request = json.loads(request_path.read_text(encoding="utf-8"))
    models = {name: Path(path) for name, path in request["models"].items()}
    result = final_test(Path(request["data"]), models, request["confidence"])
    answer_path.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
