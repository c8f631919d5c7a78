"""Compare the champion with a candidate on the same examples, in turns, in a separate process.

Run as `python -m stillhouse.models.evaluation.champion REQUEST ANSWER`, two JSON files. Both models are measured now,
because older numbers would also measure the machine of an older run. In the request, and in code shared with the
evaluation against the teacher, the champion is called `teacher`. The real teacher is called `reference`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stillhouse.models.evaluation.compare import compare_pairs, slice_differences
from stillhouse.models.evaluation.evaluate import MODELS, SPLIT, bundles_of, time_in_turns
from stillhouse.models.evaluation.json_process import answer_request
from stillhouse.models.evaluation.schema import Measured
from stillhouse.models.measurement.latency import Schedule
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.workloads.base import Runtime, open_split, runtime_of

REFERENCE = "reference"
"""Model whose answers count as right if the data has no labels."""


def compare_champion(
    workload: Runtime, data: Path, bundles: Mapping[str, Bundle], references: Path, schedule: Schedule
) -> dict[str, Any]:
    """Compare `student` with the champion, which is called `teacher`. `reference` is the student's own teacher.

    `references` is the folder with what the candidate's stage `export` wrote to judge by.

    Returns:
        `paired`: the difference in quality and the churn on the gate split. `slices`: for every class or language of
        the split, the quality of the student minus that of the champion, with a two-sided interval. `bytes` and
        `latency`: champion / student.
    """
    split = open_split(workload, data, SPLIT, references)
    answers = {name: workload.ask(bundle, split) for name, bundle in bundles.items()}
    teacher, student = (workload.outcomes(split, answers[model], answers[REFERENCE]) for model in MODELS)
    timing = time_in_turns(workload, bundles, workload.one_request(data, split), schedule)
    return {
        "paired": compare_pairs(teacher, student, schedule.confidence),
        "slices": slice_differences(teacher, student, schedule.confidence),
        "bytes": bundles["teacher"].size / bundles["student"].size,
        "latency": {"value": timing.ratio, "interval": timing.interval},
    }


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    workload, schedule = runtime_of(request["workload"]), Schedule(**request["schedule"])
    data, references = Path(request["data"]), Path(request["references"])
    found = compare_champion(workload, data, bundles_of(request), references, schedule)
    Measured.model_validate(found)
    return found


if __name__ == "__main__":
    answer_request(_answer)
