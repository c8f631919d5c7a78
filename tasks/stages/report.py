"""Stage `report`: collect the results of a nightly run from MLflow and disk, write the report, attach it to the run."""

import json
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, Run, RunTag

from stillhouse.models.data.description import describe
from stillhouse.models.workloads.report_base import Section, report_of
from stillhouse.tasks.artifacts.artifact import VOLATILE
from stillhouse.tasks.artifacts.outputs import output_of
from stillhouse.tasks.artifacts.source_digest import LIBRARIES, version_of
from stillhouse.tasks.data.checks.contract import UNCHECKED
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.judging.champion_comparison import ANSWER
from stillhouse.tasks.judging.final_test import ANSWER as FINAL_TEST
from stillhouse.tasks.judging.keep_step import STEP
from stillhouse.tasks.pipeline.graph import Stage, stages_of
from stillhouse.tasks.pipeline.run_context import RunContext
from stillhouse.tasks.pipeline.stages import KINDS
from stillhouse.tasks.registry.staleness import note_staleness
from stillhouse.tasks.registry.versions import CANDIDATE, find_aliased
from stillhouse.tasks.reporting import run_page
from stillhouse.tasks.reporting.report import REPORT, SUMMARY, report_stage
from stillhouse.tasks.reporting.report_inputs import ReportInputs
from stillhouse.tasks.reporting.run_record import RunRecord, StageRecord, Status, error_of
from stillhouse.tasks.stages.load_test import ANSWER as LOAD_TEST
from stillhouse.tasks.stages.pull import materialise
from stillhouse.tasks.tracking.connection import page_of
from stillhouse.tasks.tracking.held_out import SPLITS, count_looks
from stillhouse.tasks.tracking.runs import find_newest_of_each
from stillhouse.tasks.tracking.tags import ARTIFACT, NOTE, PREFIX

HISTORY = ("train_loss", "validation_quality")
FOLDER = "report"
"""Folder of the report among the parent run's artifacts."""


def write_report(context: RunContext, _stage: Stage) -> dict[str, float | str]:
    """Write report.html and summary.json of this run, even if a stage failed, and log them to the parent run.

    Raises:
        StillhouseError: a stage of the run failed. Raised after writing, with the sentence of that stage.
    """
    record = _record(context)
    folder = context.settings.runs / context.run_key.replace("/", "__").replace(":", "")
    page = report_stage(record, folder)
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    _log(context, record, folder, summary)
    error = error_of(record)
    context.nightly.client.set_terminated(context.nightly.run_id, "FAILED" if error else "FINISHED")
    if error:
        msg = f"{error} (report: {page})"
        raise StillhouseError(msg)
    return {"verdict": str(summary["verdict"]), "report": str(page)}


def _record(context: RunContext) -> RunRecord:
    runs = find_newest_of_each(context.nightly.children())
    inputs = ReportInputs(context, runs)
    data = _data(context, inputs)
    if data:  # `note_staleness` reads this tag, so the tag is set first
        context.nightly.client.set_tag(context.nightly.run_id, f"{PREFIX}data_version", data["data_version"])
    night = stages_of(context.recipe)[:-1]
    stages = tuple(_stage_record(context, stage, runs.get(stage.name), inputs) for stage in night)
    parent = context.nightly.client.get_run(context.nightly.run_id)
    return RunRecord(
        recipe=context.recipe,
        recipe_yaml=context.frozen.recipe_yaml,
        run_key=context.run_key,
        mlflow_run_id=context.nightly.run_id,
        mlflow_url=page_of(context.settings.tracking_uri, context.nightly.experiment_id, context.nightly.run_id),
        code_version=context.frozen.code_version,
        started=datetime.fromtimestamp(parent.info.start_time / 1000, UTC),
        ended=datetime.now(UTC),
        stages=stages,
        gate=inputs.json("gate", "gate.json"),
        evaluation=inputs.json("evaluate", "evaluation.json"),
        data=data,
        registered=_find_registered(context, runs.get("register")),
        comparison=inputs.json("compare_champion", ANSWER),
        load_test=inputs.json("load_test", LOAD_TEST),
        final_test=inputs.json("final_test", FINAL_TEST),
        looks=_looks(context, data),
        stale=note_staleness(context.nightly.client, context.settings, context.recipe),
        environment=_environment(),
        data_docs_url=_data_docs_url(context, runs.get("validate")),
        section=_section(context, inputs),
        slices=report_of(context.recipe.workload).slices,
        unread=inputs.unread,
        left_out=list(_left_out(context, stages)),
    )


def _left_out(context: RunContext, stages: tuple[StageRecord, ...]) -> Iterator[str]:
    """Say what the run did not do although no stage of it failed."""
    checked = next((stage.metrics.get("expectations") for stage in stages if stage.kind == "validate"), None)
    if checked == 0:
        yield UNCHECKED
    if context.is_local:
        yield "nothing was registered, load-tested or compared with production, because the run used no server"


def _looks(context: RunContext, data: Mapping[str, Any] | None) -> dict[str, int]:
    """Count the looks at each split of this run's data, if this host has the data."""
    splits = (data or {}).get("splits", {})
    digests = {split: splits[split]["digest"] for split in SPLITS if split in splits}
    return count_looks(context.nightly.client, digests)


def _section(context: RunContext, inputs: ReportInputs) -> Section | None:
    """Let the workload make its own section of the report, with examples if this host has the data."""
    evaluation, tested = inputs.json("evaluate", "evaluation.json"), inputs.json("final_test", FINAL_TEST)
    if evaluation is None:
        return None
    none: Path | None = None
    data = inputs.attempt("the data of the examples", none, lambda: materialise(output_of(context, "pull").path))
    opened = ((tested or {}).get("opened") or {}).get("details")
    told = evaluation.get("details", {}), evaluation.get("comparisons", {}), opened, data
    no_section: Section | None = None
    face = report_of(context.recipe.workload)
    return inputs.attempt(f"what {context.recipe.workload} tells", no_section, lambda: face.section(*told))


def _stage_record(context: RunContext, stage: Stage, run: Run | None, inputs: ReportInputs) -> StageRecord:
    if run is None:
        left_out = context.is_local and KINDS[stage.kind].served
        return StageRecord(stage.name, stage.kind, "SKIPPED" if left_out else "MISSING")
    tags, client = run.data.tags, context.nightly.client
    status: Status = "SKIPPED" if stage.kind == "register" and f"{PREFIX}version" not in tags else run.info.status
    if run.info.status == "FAILED":
        status = "FAILED"
    origin = tags.get(f"{PREFIX}reused_from", run.info.run_id)

    def history_of(name: str) -> list[tuple[int, float]]:
        recorded = sorted(client.get_metric_history(origin, name), key=lambda metric: metric.timestamp, reverse=True)
        return sorted({metric.step: metric.value for metric in recorded if metric.step > 0}.items())

    what, none = f"the epochs of stage {stage.name}", list[tuple[int, float]]()
    history = {name: inputs.attempt(what, none, partial(history_of, name)) for name in HISTORY}
    return StageRecord(
        stage.name,
        stage.kind,
        status,
        seconds=float(tags[f"{PREFIX}seconds"]) if f"{PREFIX}seconds" in tags else None,
        reused_from=tags.get(f"{PREFIX}reused_from"),
        metrics=run.data.metrics,
        history={name: points for name, points in history.items() if points},
        error=tags.get(f"{PREFIX}error"),
        step=inputs.json(stage.name, STEP) if stage.kind == "compress" else None,
    )


def _data(context: RunContext, inputs: ReportInputs) -> dict[str, Any] | None:
    pointer = inputs.json("pull", "data.json")
    if pointer is None:
        return None
    folder = context.settings.data_cache / pointer["digest"]
    if not folder.is_dir():
        return pointer
    none = dict[str, Any]()
    return pointer | inputs.attempt("the data's description", none, lambda: {"splits": describe(folder)["splits"]})


def _find_registered(context: RunContext, run: Run | None) -> dict[str, str] | None:
    if run is None or f"{PREFIX}version" not in run.data.tags:
        return None
    version = run.data.tags[f"{PREFIX}version"]
    alias = CANDIDATE if find_aliased(context.nightly.client, context.recipe.name, CANDIDATE) == version else None
    return {"model": context.recipe.name, "version": version, "alias": alias or ""}


def _environment() -> dict[str, str]:
    packages = (*LIBRARIES, "great-expectations", "apache-airflow", "mlflow-skinny", "dvc")
    return {"python": platform.python_version(), "system": platform.platform()} | {
        name: version_of(name) for name in packages
    }


def _data_docs_url(context: RunContext, run: Run | None) -> str | None:
    if run is None:
        return None
    origin = run.data.tags.get(f"{PREFIX}reused_from", run.info.run_id)
    where = f"{ARTIFACT}/{VOLATILE}/index.html"
    return page_of(context.settings.tracking_uri, context.nightly.experiment_id, origin, where)


def _log(context: RunContext, record: RunRecord, folder: Path, summary: Mapping[str, Any]) -> None:
    """Write the results of the night on the parent run's page and attach the report. A repeated call is harmless."""
    client, run_id = context.nightly.client, context.nightly.run_id
    now = int(datetime.now(UTC).timestamp() * 1000)
    known, wanted = client.get_run(run_id).data.params, run_page.parameters(context.recipe, summary)
    client.log_batch(
        run_id,
        [Metric(name, value, now, 0) for name, value in run_page.metrics(record, summary).items()],
        [Param(name, value) for name, value in wanted.items() if name not in known],
        [RunTag(PREFIX + name, value) for name, value in run_page.tags(summary).items()],
    )
    text = run_page.description(context.recipe, summary, _links(context, record))
    if differing := run_page.list_changed(known, wanted):
        text += f"\n\nThe parameters are those of this run's first report; changed since: {', '.join(differing)}"
    client.set_tag(run_id, NOTE, text)
    client.set_experiment_tag(context.nightly.experiment_id, NOTE, run_page.about(context.recipe))
    client.log_artifacts(run_id, str(folder), FOLDER)


def _links(context: RunContext, record: RunRecord) -> dict[str, str]:
    night = context.nightly
    report = page_of(context.settings.tracking_uri, night.experiment_id, night.run_id, f"{FOLDER}/{REPORT}")
    return {"Report": report} | ({"Data Docs": record.data_docs_url} if record.data_docs_url else {})
