"""What the retention knows of an MLflow: its stage runs, its nights and its registered versions, read at once.

Runs that Stillhouse did not make, the rows of the audit and the looks at held-out splits are no facts here, so nothing
can decide to delete them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from mlflow.entities import Run, RunStatus, ViewType
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.tracking import MlflowClient

from stillhouse.tasks.registry import audit
from stillhouse.tasks.registry.pending_move import TAG as PENDING
from stillhouse.tasks.registry.versions import DIGEST, VERDICT
from stillhouse.tasks.tracking import held_out
from stillhouse.tasks.tracking.answers import answering
from stillhouse.tasks.tracking.experiments import list_experiments
from stillhouse.tasks.tracking.tags import OPENED, PREFIX, STAGE, STAGE_KEY, STAGE_RUNS

PARENT, RUN_KEY = "mlflow.parentRunId", f"{PREFIX}run_key"
PAGE = 1000
RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")
OPEN = (RunStatus.to_string(RunStatus.RUNNING), RunStatus.to_string(RunStatus.SCHEDULED))


@dataclass(frozen=True)
class StageRun:
    """One MLflow run of a night: of the whole night, or of one of its stages."""

    run_id: str
    night: str
    """Run id of the whole night."""
    last: float
    """Last sign of life, in epoch seconds."""
    is_open: bool = False
    """The run has not ended."""
    stage: str = ""
    """Empty for the run of the whole night."""
    key: str = ""
    origin: str = ""
    """Run that made the output, if this run reused it."""
    digest: str = ""
    content: str = ""
    """Digest of the data that a stage `pull` pinned."""
    data: str = ""
    """Version of that data."""
    version: str = ""
    """Version that a stage `register` made or found."""
    experiment_id: str = ""
    artifact_uri: str = ""
    models: tuple[str, ...] = ()
    """Ids of the models that the run logged."""


@dataclass(frozen=True)
class Version:
    """One version in MLflow's registry."""

    model: str
    number: str
    created: float
    """In epoch seconds."""
    is_ours: bool
    """A night registered it after its gate passed."""
    has_alias: bool = False
    digest: str = ""
    runs: frozenset[str] = frozenset()
    """Runs that the version names: its night, its stages and its `register`."""
    source: str = ""

    @property
    def name(self) -> str:
        """`MODEL/VERSION`."""
        return f"{self.model}/{self.number}"


@dataclass(frozen=True)
class Facts:
    """Everything that the decision about one MLflow depends on."""

    runs: tuple[StageRun, ...] = ()
    versions: tuple[Version, ...] = ()
    named: frozenset[str] = frozenset()
    """Ids of runs that a row of the audit names."""
    pending: frozenset[str] = field(default_factory=frozenset)
    """Versions `MODEL/VERSION` that an unfinished promotion names."""


def read_facts(client: MlflowClient) -> Facts:
    """Read the facts of one MLflow.

    Raises:
        ServiceError: MLflow does not answer.
    """
    with answering():
        known = {each.name: each.experiment_id for each in list_experiments(client)}
        audits = [known[audit.EXPERIMENT]] if audit.EXPERIMENT in known else []
        nights = [number for name, number in known.items() if name not in {held_out.EXPERIMENT, audit.EXPERIMENT}]
        runs = tuple(filter(None, map(_stage_run, search_all(client, nights))))
        rows = " ".join(run.data.tags.get(audit.ROW, "") for run in search_all(client, audits))
        return Facts(runs, tuple(_versions(client)), frozenset(RUN_ID.findall(rows)), frozenset(_pending(client)))


def search_all(client: MlflowClient, experiments: list[str], kind: int = ViewType.ACTIVE_ONLY) -> Iterator[Run]:
    """Yield all runs of some experiments."""
    token: str | None = None
    while experiments:
        page = client.search_runs(experiments, "", kind, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _stage_run(run: Run) -> StageRun | None:
    """Return the facts of one run; `None` if no night of ours made it."""
    tags, info = run.data.tags, run.info
    night = info.run_id if RUN_KEY in tags else tags.get(PARENT, "") if STAGE in tags else ""
    if not night:
        return None
    outputs = run.outputs.model_outputs if run.outputs else []
    return StageRun(
        run_id=info.run_id,
        night=night,
        last=max((info.start_time or 0) / 1000, (info.end_time or 0) / 1000, _opened(tags.get(OPENED, ""))),
        is_open=info.status in OPEN,
        stage=tags.get(STAGE, ""),
        key=tags.get(STAGE_KEY, ""),
        origin=tags.get(f"{PREFIX}reused_from", ""),
        digest=tags.get(DIGEST, ""),
        content=tags.get(f"{PREFIX}content", ""),
        data=tags.get(f"{PREFIX}outside.data", ""),
        version=tags.get(f"{PREFIX}version", ""),
        experiment_id=info.experiment_id,
        artifact_uri=info.artifact_uri or "",
        models=tuple(model.model_id for model in outputs),
    )


def _opened(text: str) -> float:
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _versions(client: MlflowClient) -> Iterator[Version]:
    aliased = {f"{model.name}/{number}" for model in _models(client) for number in model.aliases.values()}
    token: str | None = None
    while True:
        page = client.search_model_versions(max_results=PAGE, page_token=token)
        yield from (_version(each, aliased) for each in page)
        token = page.token
        if not token:
            return


def _version(found: ModelVersion, aliased: Iterable[str]) -> Version:
    tags = found.tags
    stages = json.loads(tags.get(STAGE_RUNS, "{}"))
    own = [tags.get(f"{PREFIX}nightly_run"), tags.get(f"{PREFIX}teacher_run"), found.run_id]
    return Version(
        model=found.name,
        number=str(found.version),
        created=found.creation_timestamp / 1000,
        is_ours=VERDICT in tags and bool(own[0]),
        has_alias=f"{found.name}/{found.version}" in aliased,
        digest=tags.get(DIGEST, ""),
        runs=frozenset([*filter(None, own), *(run for run, _ in stages.values())]),
        source=found.source or "",
    )


def _pending(client: MlflowClient) -> Iterator[str]:
    for model in _models(client):
        if PENDING in model.tags:
            yield str(json.loads(model.tags[PENDING])["source"])


def _models(client: MlflowClient) -> list[RegisteredModel]:
    found: list[RegisteredModel] = []
    token: str | None = None
    while True:
        page = client.search_registered_models(max_results=PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
