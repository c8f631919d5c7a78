"""The provenance record of a version: its origin, its results and its requirements. It is signed.

The model card is the same record in readable form. The record comes only from the nightly run and contains no time, so
registering again gives the same record.
"""

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.models.evaluation.schema import Estimate, Evaluation
from stillhouse.tasks.judging.final_test import FinalTest
from stillhouse.tasks.reporting.quantities import percent, times

SCHEMA = 1
WORST = 3
"""Number of slices on a card."""
Json = dict[str, Any]


def assemble_record(  # noqa: PLR0913 - the parts of a record, each named by its caller
    *,
    model: str,
    file: Mapping[str, Any],
    data: Mapping[str, Any],
    code_version: str,
    providers: Sequence[Mapping[str, str]],
    recipe: Mapping[str, Any],
    evaluation: Evaluation,
    final_test: FinalTest,
    gate: Mapping[str, Any],
    lineage: Sequence[Mapping[str, str]],
    packages: Sequence[str],
) -> Json:
    """Assemble a provenance record.

    Args:
        model: name of the registered model.
        file: digest and bytes of the evaluated file.
        data: version and digest of the data.
        code_version: commit of the code.
        providers: installed packages whose workload or networks the recipe uses.
        recipe: the whole recipe.
        evaluation: the measured results.
        final_test: results on the split `test`, measured after the verdict.
        gate: content of gate.json.
        lineage: stage, key and digest of every stage in order, including the teacher's stages.
        packages: packages that inference needs.
    """
    return {
        "schema": SCHEMA,
        "model": model,
        "file": dict(file),
        "data": dict(data),
        "code": {"commit": code_version},
        "providers": [dict(each) for each in providers],
        "recipe": dict(recipe),
        "seeds": {"night": recipe["seed"], "judged_over": recipe.get("seeds")},
        **_surroundings(evaluation),
        "metrics": _metrics(evaluation),
        "final_test": final_test.model_dump(mode="json"),
        "gate": dict(gate),
        "lineage": [dict(stage) for stage in lineage],
        "sbom": sbom(packages),
    }


def _surroundings(evaluation: Evaluation) -> Json:
    software = {"python": platform.python_version(), "system": platform.system()}
    return {"hardware": evaluation.machine, "environment": software}


def _metrics(evaluation: Evaluation) -> Json:
    def side(name: str) -> Json:
        model = getattr(evaluation, name)
        return {
            "quality": model.quality.model_dump(),
            "bytes": model.bytes,
            "latency_ms": model.latency_ms.model_dump(),
        }

    return {name: side(name) for name in ("teacher", "student")} | {
        "ratios": evaluation.ratios.model_dump(),
        "paired": evaluation.paired.model_dump(),
    }


def sbom(packages: Sequence[str]) -> Json:
    """List the packages for inference in CycloneDX 1.6 format: name, version, licence, package URL."""
    components = []
    for package in packages:
        about = importlib.metadata.metadata(package)
        licence = str(about.json.get("license_expression") or about.json.get("license") or "unknown").splitlines()[0]
        version = importlib.metadata.version(package)
        components.append(
            {
                "type": "library",
                "name": package,
                "version": version,
                "licenses": [{"license": {"name": licence}}],
                "purl": f"pkg:pypi/{package}@{version}",
            }
        )
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": components}


def model_card(record: Mapping[str, Any], evaluation: Evaluation, final: FinalTest) -> str:
    """Write the model card from a provenance record: description, results, largest failures, origin."""
    recipe = record["recipe"]
    slices = zip(evaluation.classes.labels, evaluation.classes.student, strict=True)
    worst = sorted((recall, label) for label, recall in slices if recall is not None)[:WORST]
    named = ", ".join(f"{label} ({percent(recall)})" for recall, label in worst)
    origin = f"Data `{record['data']['data_version']}`, code `{record['code']['commit']}`, seed {recipe['seed']}"
    parts = [
        f"# {record['model']}",
        recipe["description"],
        f"Compressed from its teacher by {' -> '.join(_step(step) for step in recipe['steps'])}.",
        _numbers(evaluation, final),
        f"It does worst on {named}; {percent(evaluation.paired.gate.churn)} of its answers are not its teacher's.",
        f"{origin}, file `{record['file']['digest']}`.",
    ]
    return "\n\n".join(parts) + "\n"


def _numbers(evaluation: Evaluation, final: FinalTest) -> str:
    teacher, student, ratios = evaluation.teacher, evaluation.student, evaluation.ratios
    tested = final.opened
    fewer, faster = f"{times(ratios.bytes)} fewer", f"{times(ratios.latency.value)} as fast"
    lines = [
        "| | teacher | student | ratio |",
        "|---|---|---|---|",
        _row("quality, gate", teacher.quality.gate, student.quality.gate, ratios.quality.gate),
        *([_row("quality, test split", tested.teacher, tested.student, tested.ratio)] if tested else []),
        f"| bytes | {teacher.bytes:,} | {student.bytes:,} | {fewer} |",
        f"| ms, batch 1, one thread | {teacher.latency_ms.p10:.4f} | {student.latency_ms.p10:.4f} | {faster} |",
    ]
    return "\n".join(lines)


def _step(step: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (step["method"], step.get("component") or step.get("tower"))))


def _row(what: str, teacher: Estimate, student: Estimate, ratio: Estimate) -> str:
    cells = (teacher, student)
    shown = " | ".join(f"{percent(c.value)} ({percent(c.interval[0])} to {percent(c.interval[1])})" for c in cells)
    return f"| {what} | {shown} | {percent(ratio.value)} |"
