"""What a nightly run shows in MLflow, whose own pages then say which student is smaller, faster, safer, or refused.

Pure: the run's record and its summary in, names and values out.
"""

from collections.abc import Mapping
from typing import Any

from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.reporting.markdown import table
from stillhouse.tasks.reporting.run_record import RunRecord

LONGEST = 500
"""Characters of a parameter or a tag."""
Summary = Mapping[str, Any]


def metrics(run: RunRecord, summary: Summary) -> dict[str, float]:
    """Give the numbers: ratios, both models, the gate's checks, the difference to the teacher and to the champion.

    The interval of a comparison, where it is more than a point, stands beside it as `_low` and `_high`.
    """
    ratios, difference = summary["ratios"] or {}, summary["difference"]
    found = _numbers("ratio", ratios)
    for name in found:
        found = found | _ends(name, ratios[f"{name.removeprefix('ratio_')}_interval"])
    for model in ("teacher", "student"):
        found |= _numbers(model, summary[model] or {})
    if difference:
        found |= {"difference": difference["value"], "churn": difference["churn"]}
        found |= _ends("difference", difference["interval"])
    found |= {f"check_{check['name']}": check["value"] for check in summary["checks"]}
    for stage in run.stages:
        if stage.kind in {"challenge", "load"}:
            found |= stage.metrics
    found |= {f"looks_{split}": float(count) for split, count in summary["looks"].items()}
    return found | {"passed": float(summary["verdict"] == "PASS"), "dag_seconds": summary["dag_seconds"]}


def parameters(recipe: Recipe, summary: Summary) -> dict[str, str]:
    """Give the recipe, an option a line, with its steps in one word each and the version of its data."""
    steps = " -> ".join("_".join(filter(None, (step.method, step.component))) for step in recipe.steps)
    flat = {name: value for name, value in _flat(recipe.model_dump(mode="json")).items() if value is not None}
    data = {"data.version": summary["data_version"]} if summary["data_version"] else {}
    return {name: str(value)[:LONGEST] for name, value in {**flat, "steps": steps, **data}.items()}


def tags(summary: Summary) -> dict[str, str]:
    """Give what a column of the list of runs can show of one."""
    columns = {name: summary[name] for name in ("verdict", "recipe", "data_version", "code_version")}
    return {name: str(value) for name, value in columns.items()} | {
        "why": why(summary)[:LONGEST],
        "registered": _registered(summary) or "no",
    }


def why(summary: Summary) -> str:
    """Say why a run ended as it did: what broke, which checks did not pass, or that all did."""
    if summary["error"]:
        return str(summary["error"])
    refused = [check["reason"] for check in summary["checks"] if check["verdict"] != "PASS"]
    return "; ".join(refused) or "every check passed"


def description(recipe: Recipe, summary: Summary, links: Mapping[str, str]) -> str:
    """Write the run's page: verdict and why, the checks, what became of the student, where to look."""
    checks = [(check["name"], check["verdict"], check["reason"]) for check in summary["checks"]]
    registered = _registered(summary)
    parts = [
        f"**{'BROKEN' if summary['error'] else summary['verdict']}**: {why(summary)}.",
        recipe.description,
        table(("check", "verdict", "why"), checks) if checks else "",
        f"Registered as {registered}." if registered else "Nothing was registered.",
        " · ".join(f"[{what}]({address})" for what, address in links.items()),
    ]
    return "\n\n".join(part for part in parts if part)


def about(recipe: Recipe) -> str:
    """Describe the recipe's experiment."""
    return (
        f"{recipe.description}\n\nOne run a night of the recipe `{recipe.name}`, its stages below it. Worth a "
        "column: the tags `stillhouse.verdict` and `stillhouse.why`, "
        "the metrics `ratio_quality`, `ratio_bytes`, `ratio_latency`."
    )


def changed(known: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name the parameters that a run has already, with another value: MLflow keeps the first for ever."""
    return [f"`{name}`: {known[name]} -> {value}" for name, value in now.items() if known.get(name, value) != value]


def _registered(summary: Summary) -> str:
    where = summary["mlflow"]
    alias = f", the {where['alias']}" if where["alias"] else ""
    return f"{where['model']} version {where['version']}{alias}" if where["version"] else ""


def _numbers(prefix: str, part: Mapping[str, Any]) -> dict[str, float]:
    return {f"{prefix}_{name}": float(value) for name, value in part.items() if not name.endswith("_interval")}


def _ends(name: str, interval: tuple[float, float]) -> dict[str, float]:
    low, high = interval
    return {} if low == high else {f"{name}_low": float(low), f"{name}_high": float(high)}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401 - walks any JSON value
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        pairs = [(str(number), item) for number, item in enumerate(value, start=1)]
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in pairs:
        flat |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return flat
