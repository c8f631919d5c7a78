"""The report as one self-contained HTML page: no script, no network, and all shown text is escaped.

report.html and report.css beside this file define the layout. This module only collects the values that they show.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stillhouse.models.evaluation.schema import Evaluation
from stillhouse.models.workloads.report_base import Section
from stillhouse.tasks.judging.champion_comparison import ChampionComparison
from stillhouse.tasks.judging.final_test import Opened, describe_looks, parse_opened
from stillhouse.tasks.reporting import quantities
from stillhouse.tasks.reporting.plots.judgement import class_changes, evidence, trade
from stillhouse.tasks.reporting.plots.stages import stage_times, training_curve
from stillhouse.tasks.reporting.plots.steps import waterfall
from stillhouse.tasks.reporting.run_record import RunRecord, StageRecord, error_of, evaluation_of

FILTERS = (
    "percent",
    "percent_limit",
    "times",
    "times_limit",
    "points",
    "size",
    "mebibytes",
    "milliseconds",
    "duration",
)

HEADLINES = {
    "PASS": "The student passed its gate",
    "FAIL": "The student failed its gate",
    "UNDECIDED": "The measurements do not decide",
    "BROKEN": "The run broke",
}


def render(run: RunRecord) -> str:
    """Return the whole page. For a failed run, the page shows the finished part."""
    evaluation, tested = evaluation_of(run), parse_opened(run.final_test)
    error = error_of(run)
    verdict = "BROKEN" if error else (run.gate or {"verdict": "UNDECIDED"})["verdict"]
    template = load_templates().get_template("report.html")
    return template.render(
        run=run,
        evaluation=evaluation,
        verdict=verdict,
        headline=HEADLINES[verdict],
        reasons=[*([error] if error else _reasons(run.gate or {}, verdict)), *run.unread, *run.left_out],
        verdicts=_verdicts(run.gate or {}),
        steps=list(_steps(run.stages)),
        figures=_figures(run, evaluation, tested),
        tested=tested,
        looked=describe_looks(run.looks),
        comparison=ChampionComparison.model_validate(run.comparison) if run.comparison else None,
        section=_laid_out(run.section) if run.section else None,
        slices=run.slices,
        curves=[Markup(training_curve(s)) for s in run.stages if s.history.get("train_loss")],  # noqa: S704 - our own SVG
        mlflow_url=_drop_credentials(run.mlflow_url),
        data_docs_url=_drop_credentials(run.data_docs_url or ""),
    )


def load_templates(*folders: Path) -> Environment:
    """Load the templates of these folders and of this one. All values are escaped; the filters write quantities."""
    templates = Environment(
        loader=FileSystemLoader((*folders, Path(__file__).parent)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {name: getattr(quantities, name) for name in FILTERS}
    templates.filters["sentence"] = _sentence
    return templates


def _laid_out(section: Section) -> dict[str, str]:
    """Render the workload's own section with the workload's template."""
    template = load_templates().from_string(section.template.read_text(encoding="utf-8"))
    body = template.render(section.values)
    return {"title": section.title, "body": Markup(body)}  # noqa: S704 - its values were escaped


def _sentence(text: str) -> str:
    """Start with a capital letter, and keep a number and its per cent sign on one line."""
    return text[:1].upper() + text[1:].replace(" %", "\N{NO-BREAK SPACE}%")


def _reasons(gate: Mapping[str, Any], verdict: str) -> list[str]:
    """Return the reasons of the checks that have this verdict. For a PASS, these are all checks."""
    return [check["reason"] for check in gate.get("checks", ()) if check["verdict"] == verdict]


def _verdicts(gate: Mapping[str, Any]) -> dict[str, str]:
    """Return the verdict of the check of each headline number. Empty if there is no such check."""
    nothing = dict.fromkeys(("bytes", "latency", "quality"), "")
    return nothing | {check["name"]: check["verdict"] for check in gate.get("checks", ())}


def _steps(stages: tuple[StageRecord, ...]) -> Iterator[tuple[StageRecord, float | None]]:
    """Pair each stage that makes a model with its change of validation quality since the stage before."""
    before: float | None = None
    for stage in stages:
        if stage.kind not in {"teacher", "compress"}:
            continue
        score = stage.metrics.get("validation_quality")
        yield stage, None if score is None or before is None else score - before
        before = score


def _figures(run: RunRecord, evaluation: Evaluation | None, tested: Opened | None) -> dict[str, Markup]:
    drawn = {"times": stage_times(run.stages)}
    if any(stage.step and stage.step["cost"] for stage in run.stages):
        drawn["waterfall"] = waterfall(run.stages)
    if evaluation:
        drawn["evidence"] = evidence(evaluation, run.recipe.gate, tested)
        drawn["trade"] = trade(evaluation, run.recipe.gate, run.stages)
        drawn["classes"] = class_changes(evaluation.classes)
    return {name: Markup(svg) for name, svg in drawn.items()}  # noqa: S704 - our own SVG, its texts escaped


def _drop_credentials(url: str) -> str:
    """Keep only web addresses, and remove the user and password that a tracking address may contain."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"}:
        return ""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
