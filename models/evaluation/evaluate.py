"""Evaluate two deployables in a separate process: quality, bytes, time and memory of the shipped files.

Run as `python -m stillhouse.models.evaluation.evaluate REQUEST ANSWER`, two JSON files.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

from stillhouse.models.evaluation.compare import compare_pairs, quality, ratio
from stillhouse.models.evaluation.json_process import answer_request
from stillhouse.models.evaluation.outcomes import Outcomes
from stillhouse.models.evaluation.schema import Evaluation
from stillhouse.models.measurement.latency import Comparison, Schedule, compare_calls, machine
from stillhouse.models.measurement.resources import Serving, serving_of
from stillhouse.models.onnx.packing import is_packed, unpack, zstd_bytes
from stillhouse.models.runtime.bundle import Bundle, open_bundle
from stillhouse.models.workloads.base import Request, Runtime, open_split, runtime_of

MODELS = ("teacher", "student")
REFERENCE = "teacher"
"""Model whose answers count as right if the data has no labels."""
SPLIT = "gate"
"""The evaluated split. Only `models.evaluation.final_test` opens the split `test`."""


def evaluate(
    workload: Runtime, data: Path, bundles: Mapping[str, Bundle], references: Path, schedule: Schedule
) -> dict[str, Any]:
    """Measure quality, bytes and time of `teacher` and `student`.

    Args:
        workload: the runtime of the models' workload.
        data: a materialised dataset.
        bundles: the two models.
        references: folder with the outputs of the training-time models, one folder per model, and with the judges.
        schedule: how much to time.
    """
    split = open_split(workload, data, SPLIT, references)
    answers = {model: workload.ask(bundles[model], split) for model in MODELS}
    outcomes = {model: workload.outcomes(split, answers[model], answers[REFERENCE]) for model in MODELS}
    request = workload.one_request(data, split)
    load_before = os.getloadavg()[0]
    timing = time_in_turns(workload, bundles, request, schedule)
    load = {"load_before": load_before, "load_after": os.getloadavg()[0], "unsteady_repeats": timing.unsteady}
    measures = {
        model: {
            **measure_files(bundles[model], request),
            "quality": {SPLIT: quality(outcomes[model].scores, schedule.confidence)},
            "parity": workload.parity(references / model, split, answers[model]),
            "latency_ms": asdict(times),
        }
        for model, times in zip(MODELS, (timing.baseline, timing.candidate), strict=True)
    }
    return {
        **measures,
        "ratios": {
            "bytes": measures["teacher"]["bytes"] / measures["student"]["bytes"],
            "latency": {"value": timing.ratio, "interval": timing.interval},
            "quality": {SPLIT: ratio(outcomes["teacher"].scores, outcomes["student"].scores, schedule.confidence)},
        },
        "paired": {SPLIT: compare_pairs(outcomes["teacher"], outcomes["student"], schedule.confidence)},
        "classes": classes(outcomes),
        "comparisons": workload.comparisons(split, answers, schedule.confidence),
        "details": workload.details(data, bundles, split, answers),
        "latency_ratios": timing.ratios,
        "machine": machine() | load,
    }


def time_in_turns(workload: Runtime, bundles: Mapping[str, Bundle], request: Request, schedule: Schedule) -> Comparison:
    """Time one request on teacher and student, in turns."""
    teacher, student = (partial(workload.call, bundles[model], request) for model in MODELS)
    return compare_calls((teacher, student), schedule)


def measure_files(bundle: Bundle, request: Request) -> dict[str, Any]:
    """Measure the total bytes that a deployment loads, and the serving cost of each component."""
    parts = [asdict(serving_of(bundle.file(name), raw)) for name, raw in request.raw.items()]
    return {
        "bytes": bundle.size,
        "zstd_bytes": sum(map(zstd_bytes, bundle.files)),
        "unpacked_bytes": sum(len(unpack(path)) if is_packed(path) else path.stat().st_size for path in bundle.files),
        "serving": {field.name: sum(part[field.name] for part in parts) for field in fields(Serving)},
    }


def classes(outcomes: Mapping[str, Outcomes]) -> dict[str, Any]:
    """Return the quality of both models on every slice. A slice without examples gives NaN."""
    slices = outcomes["teacher"].slices
    return {
        "labels": list(slices),
        "count": [len(scores.quality_N) for scores in slices.values()],
        **{model: [scores.mean for scores in of.slices.values()] for model, of in outcomes.items()},
    }


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    workload, schedule = runtime_of(request["workload"]), Schedule(**request["schedule"])
    found = evaluate(workload, Path(request["data"]), bundles_of(request), Path(request["references"]), schedule)
    Evaluation.model_validate(found)
    return found


def bundles_of(request: Mapping[str, Any]) -> dict[str, Bundle]:
    """Open the bundles that a request names."""
    return {name: open_bundle(Path(path)) for name, path in request["models"].items()}


if __name__ == "__main__":
    answer_request(_answer)
