"""Measure the quality of two bundles on the split `test`, once, in a separate process. The result decides nothing.

Run as `python -m stillhouse.models.evaluation.final_test REQUEST ANSWER`, two JSON files. Bytes and time come from the
evaluation and are not measured again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse.models.evaluation.compare import compare_pairs, quality, ratio
from stillhouse.models.evaluation.evaluate import MODELS, REFERENCE, bundles_of
from stillhouse.models.evaluation.json_process import answer_request
from stillhouse.models.evaluation.schema import Tested
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import Runtime, open_split, runtime_of

SPLIT = "test"


def final_test(
    workload: Runtime, data: Path, bundles: Mapping[str, Bundle], references: Path, confidence: float
) -> dict[str, Any]:
    """Compare `teacher` and `student` on the examples of the split `test`.

    Args:
        workload: the runtime of the models' workload.
        data: a materialised dataset.
        bundles: the two models.
        references: folder with what the stage `export` wrote to judge by.
        confidence: confidence of each two-sided interval.

    Returns:
        `teacher` and `student`: the quality of each with its interval. `ratio`: student / teacher. `paired`: the
        comparison example by example. `details`: results that only this workload has.
    """
    split = open_split(workload, data, SPLIT, references)
    answers = {model: workload.ask(bundles[model], split) for model in MODELS}
    teacher, student = (workload.outcomes(split, answers[model], answers[REFERENCE]) for model in MODELS)
    return {
        "teacher": quality(teacher.scores, confidence),
        "student": quality(student.scores, confidence),
        "ratio": ratio(teacher.scores, student.scores, confidence),
        "paired": compare_pairs(teacher, student, confidence),
        "details": workload.test_details(split, answers),
    }


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    workload = runtime_of(request["workload"])
    data, references = Path(request["data"]), Path(request["references"])
    found = final_test(workload, data, bundles_of(request), references, request["confidence"])
    Tested.model_validate(found)
    return found


if __name__ == "__main__":
    answer_request(_answer)
