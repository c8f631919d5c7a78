"""The evidence for a decision about a version: the results of its nightly run, read from MLflow, with links."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from stillhouse.models.evaluation.schema import Evaluation
from stillhouse.tasks.artifacts.artifact import VOLATILE, json_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.judging.champion_comparison import ANSWER, OLD_ANSWER, OLD_STAGE, STAGE, ChampionComparison
from stillhouse.tasks.judging.evaluation import parse_evaluation
from stillhouse.tasks.judging.final_test import ANSWER as FINAL_TEST
from stillhouse.tasks.judging.final_test import FinalTest, parse_final_test
from stillhouse.tasks.tracking.answers import AbsentError, answering, download_output
from stillhouse.tasks.tracking.connection import page_of
from stillhouse.tasks.tracking.held_out import count_looks
from stillhouse.tasks.tracking.runs import find_newest_of_each
from stillhouse.tasks.tracking.tags import ARTIFACT, PREFIX, STAGE_RUNS


@dataclass(frozen=True)
class Evidence:
    """The evidence that a person sees before approving."""

    model: str
    version: str
    gate: Mapping[str, Any]
    """Content of gate.json: the verdict and its checks."""
    evaluation: Evaluation
    comparison: ChampionComparison
    final_test: FinalTest
    looks: Mapping[str, int]
    """Split -> number of uses so far, over all nightly runs; empty if unknown."""
    links: Mapping[str, str]
    """Name of a page -> its address."""
    digests: Mapping[str, str]
    """Stage -> digest of its result, for the audit."""


def evidence_of(client: MlflowClient, version: ModelVersion, tracking_uri: str) -> Evidence:
    """Read the results of a version's nightly run.

    Raises:
        StillhouseError: MLflow no longer has the results.
        ServiceError: MLflow does not answer.
    """
    night = version.tags.get(f"{PREFIX}nightly_run", "")
    try:
        runs = stages_of_version(client, version)
        files = {"gate": "gate.json", "evaluate": "evaluation.json", "compare_champion": answer_of(runs)}
        if "final_test" in runs:  # a nightly run from before this stage existed has none
            files["final_test"] = FINAL_TEST
        read = {stage: read_output(client, runs[stage], file) for stage, file in files.items()}
    except (AbsentError, KeyError, ValueError) as error:
        msg = f"MLflow has no whole night of {version.name} version {version.version} ({error}); run the recipe again"
        raise StillhouseError(msg) from error
    final_test = parse_final_test(read.get("final_test", {}))
    experiment, docs = runs["gate"].info.experiment_id, f"{ARTIFACT}/{VOLATILE}/index.html"
    return Evidence(
        model=version.name,
        version=str(version.version),
        gate=read["gate"],
        evaluation=parse_evaluation(read["evaluate"]),
        comparison=ChampionComparison.model_validate(read["compare_champion"]),
        final_test=final_test,
        looks=count_looks(client, final_test.opened.split_digests if final_test.opened else {}),
        links={
            "Report": page_of(tracking_uri, experiment, night, "report/report.html"),
            "MLflow run": page_of(tracking_uri, experiment, night),
            "Data Docs": page_of(tracking_uri, experiment, _origin(runs["validate"]), docs),
        },
        digests={stage: json_digest(content) for stage, content in read.items()},
    )


def stages_of_version(client: MlflowClient, version: ModelVersion) -> dict[str, Run]:
    """Return stage -> the exact MLflow run that made or evaluated a version.

    Other runs of the same stage in that nightly run, earlier or later, are ignored.

    Raises:
        KeyError: MLflow no longer has a run.
        StillhouseError: a stage was repeated in its run after the version was registered.
    """
    night = version.tags.get(f"{PREFIX}nightly_run", "")
    with answering():
        experiment = client.get_run(night).info.experiment_id
        children = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{night}'")
    if STAGE_RUNS not in version.tags:  # registered before versions recorded their runs
        return _with_present_names(find_newest_of_each(children))
    known = {run.info.run_id: run for run in children}
    named: dict[str, tuple[str, str]] = json.loads(version.tags[STAGE_RUNS])
    for stage, (run_id, digest) in named.items():
        if known[run_id].data.tags.get(f"{PREFIX}digest") != digest:
            msg = (
                f"stage {stage} of {version.name} version {version.version} was done again in MLflow run {run_id} and "
                "came out otherwise, so what was judged is not there any more; run the recipe again"
            )
            raise StillhouseError(msg)
    return _with_present_names({stage: known[run_id] for stage, (run_id, _) in named.items()})


def answer_of(runs: Mapping[str, Run]) -> str:
    """Return the name of the file that the comparison with the champion wrote in this nightly run."""
    return OLD_ANSWER if runs[STAGE].data.tags.get(f"{PREFIX}stage") == OLD_STAGE else ANSWER


def _with_present_names(runs: Mapping[str, Run]) -> dict[str, Run]:
    return {STAGE if stage == OLD_STAGE else stage: run for stage, run in runs.items()}


def _origin(run: Run) -> str:
    return str(run.data.tags.get(f"{PREFIX}reused_from", run.info.run_id))


def read_output(client: MlflowClient, run: Run, name: str) -> dict[str, Any]:
    """Read a JSON file of a stage's output from MLflow."""
    with tempfile.TemporaryDirectory() as folder:
        path = download_output(client, _origin(run), f"{ARTIFACT}/{name}", Path(folder))
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
