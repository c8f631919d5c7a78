"""The metrics, parameters, tags and description that a nightly run shows on its MLflow pages.

All functions are pure: they take the run's record and its summary, and return names and values.
"""

from collections.abc import Mapping
from typing import Any

from stillhouse.tasks.recipe.recipe import Recipe
from stillhouse.tasks.reporting.markdown import table
from stillhouse.tasks.reporting.run_record import RunRecord

LONGEST = 500
"""Maximum number of characters of a parameter or a tag."""
Summary = Mapping[str, Any]


def metrics(run: RunRecord, summary: Summary) -> dict[str, float]:
    """Return the metrics: ratios, both models, the gate's checks, the differences to the teacher and to the champion.

    If the interval of a comparison is more than a point, `_low` and `_high` give its ends.
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
        if stage.kind in {"compare_champion", "load_test"}:
            found |= stage.metrics
    found |= {f"looks_{split}": float(count) for split, count in summary["looks"].items()}
    return found | {"passed": float(summary["verdict"] == "PASS"), "dag_seconds": summary["dag_seconds"]}


def parameters(recipe: Recipe, summary: Summary) -> dict[str, str]:
    """Return the recipe as one parameter per option, the steps as one line, and the data version."""
    steps = " -> ".join("_".join(filter(None, (step.method, step.component))) for step in recipe.steps)
    flat = {name: value for name, value in _flat(recipe.model_dump(mode="json")).items() if value is not None}
    data = {"data.version": summary["data_version"]} if summary["data_version"] else {}
    return {name: str(value)[:LONGEST] for name, value in {**flat, "steps": steps, **data}.items()}


def tags(summary: Summary) -> dict[str, str]:
    """Return the tags that the list of runs can show as columns."""
    columns = {name: summary[name] for name in ("verdict", "recipe", "data_version", "code_version")}
    return {name: str(value) for name, value in columns.items()} | {
        "why": why(summary)[:LONGEST],
        "registered": _name_registered(summary) or "no",
    }


def why(summary: Summary) -> str:
    """Say why a run ended as it did: the error, the checks that did not pass, or that all checks passed."""
    if summary["error"]:
        return str(summary["error"])
    refused = [check["reason"] for check in summary["checks"] if check["verdict"] != "PASS"]
    return "; ".join(refused) or "every check passed"


def description(recipe: Recipe, summary: Summary, links: Mapping[str, str]) -> str:
    """Write the text of the run's page: verdict and reason, the checks, the registered version, the links."""
    checks = [(check["name"], check["verdict"], check["reason"]) for check in summary["checks"]]
    registered = _name_registered(summary)
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


def list_changed(known: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name the parameters that the run already has with another value. MLflow never changes a parameter."""
    return [f"`{name}`: {known[name]} -> {value}" for name, value in now.items() if known.get(name, value) != value]


def _name_registered(summary: Summary) -> str:
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
