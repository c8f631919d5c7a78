"""summary.json: the numbers of the run, for tools. docs/summary.md describes it; change both together.

Within one schema number, fields are only added. Schema 3: the splits and the stages have the field's names.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stillhouse.models.evaluation.schema import Evaluation, Interval, Model, Pair
from stillhouse.tasks.judging.champion_comparison import ChampionComparison
from stillhouse.tasks.judging.final_test import Opened, parse_opened
from stillhouse.tasks.judging.gate import Verdict
from stillhouse.tasks.reporting.run_record import RunRecord, error_of, evaluation_of

Seconds = Annotated[float, Field(ge=0)]


class Part(BaseModel):
    """A part of the summary. Unknown keys and infinite numbers are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CheckLine(Part):
    """One check of the gate."""

    name: str
    value: float
    limit: float
    verdict: Verdict
    reason: str


class Measured(Part):
    """One exported model: quality on the split `gate` (fraction), size in bytes, 10th-percentile latency (ms)."""

    quality: float
    quality_interval: Interval
    bytes: int
    bytes_interval: tuple[int, int]
    latency_ms: float
    latency_ms_interval: Interval
    zstd_bytes: int
    unpacked_bytes: int
    unpack_ms: float
    load_ms: float
    peak_bytes: int
    cpu_seconds_per_1000: float


class Difference(Part):
    """Student quality minus teacher quality on the split `gate`, paired, as a fraction."""

    value: float
    interval: Interval
    lower_bound: float
    mcnemar_p: float
    discordant: tuple[int, int]
    churn: float


class Ratios(Part):
    """Teacher / student for bytes and latency, student / teacher for quality. Higher is better in all three."""

    bytes: float
    bytes_interval: Interval
    latency: float
    latency_interval: Interval
    quality: float
    quality_interval: Interval


class Against(Part):
    """The student compared with the champion on the split `gate`: `value` is a difference, the others are ratios."""

    version: str
    value: float
    interval: Interval
    churn: float
    bytes: float
    latency: float
    latency_interval: Interval
    better: tuple[str, ...]


class FinalTest(Part):
    """Both models on the split `test`: qualities, student / teacher, student - teacher. They decide nothing."""

    teacher: float
    teacher_interval: Interval
    student: float
    student_interval: Interval
    ratio: float
    ratio_interval: Interval
    difference: Difference
    opening: int


class LoadTest(Part):
    """The student behind its server: times at a steady rate, lost requests, and maximum answers per second."""

    rate: float
    p50_ms: float
    p99_ms: float
    lost: int
    max_rate: dict[Literal["one_core", "all_cores"], float]
    cores: int


class Tracked(Part):
    """The run in MLflow. The last three fields are null if nothing was registered."""

    run_id: str
    model: str | None = None
    version: str | None = None
    alias: str | None = None


class Summary(Part):
    """The whole content of summary.json."""

    schema_: Literal[3] = Field(default=3, serialization_alias="schema")
    recipe: str
    verdict: Verdict
    checks: tuple[CheckLine, ...]
    teacher: Measured | None
    student: Measured | None
    ratios: Ratios | None
    difference: Difference | None
    final_test: FinalTest | None
    looks: dict[str, int]
    champion: Against | None
    stale: tuple[str, ...]
    load_test: LoadTest | None
    stage_seconds: dict[str, Seconds]
    reused: tuple[str, ...]
    dag_seconds: Seconds
    mlflow: Tracked
    data_version: str | None
    code_version: str
    error: str | None
    unread: tuple[str, ...]
    left_out: tuple[str, ...]


def summarise(run: RunRecord) -> dict[str, Any]:
    """Return the run as the JSON value that docs/summary.md describes.

    A run that failed before its gate is UNDECIDED, and its `error` gives the reason.
    """
    evaluation = evaluation_of(run)
    gate = run.gate or {"verdict": "UNDECIDED", "checks": ()}
    summary = Summary(
        recipe=run.recipe.name,
        verdict=gate["verdict"],
        checks=tuple(CheckLine.model_validate(check) for check in gate["checks"]),
        teacher=_summarise_model(evaluation.teacher) if evaluation else None,
        student=_summarise_model(evaluation.student) if evaluation else None,
        ratios=_ratios(evaluation) if evaluation else None,
        difference=_difference(evaluation.paired.gate) if evaluation else None,
        final_test=_final_test(parse_opened(run.final_test)),
        looks=dict(run.looks),
        champion=_against(run.comparison),
        stale=tuple(run.stale),
        load_test=LoadTest.model_validate(run.load_test) if run.load_test else None,
        stage_seconds={stage.name: stage.seconds for stage in run.stages if stage.seconds is not None},
        reused=tuple(stage.name for stage in run.stages if stage.reused_from),
        dag_seconds=run.seconds,
        mlflow=_name_run(run),
        data_version=run.data["data_version"] if run.data else None,
        code_version=run.code_version,
        error=error_of(run),
        unread=tuple(run.unread),
        left_out=tuple(run.left_out),
    )
    return summary.model_dump(mode="json", by_alias=True)


def _summarise_model(model: Model) -> Measured:
    return Measured(
        quality=model.quality.gate.value,
        quality_interval=model.quality.gate.interval,
        bytes=model.bytes,
        bytes_interval=(model.bytes, model.bytes),
        latency_ms=model.latency_ms.p10,
        latency_ms_interval=model.latency_ms.interval,
        zstd_bytes=model.zstd_bytes,
        unpacked_bytes=model.unpacked_bytes,
        unpack_ms=model.serving.unpack_ms,
        load_ms=model.serving.load_ms,
        peak_bytes=round(model.serving.peak_bytes),
        cpu_seconds_per_1000=model.serving.cpu_seconds_per_1000,
    )


def _ratios(evaluation: Evaluation) -> Ratios:
    ratios = evaluation.ratios
    return Ratios(
        bytes=ratios.bytes,
        bytes_interval=(ratios.bytes, ratios.bytes),
        latency=ratios.latency.value,
        latency_interval=ratios.latency.interval,
        quality=ratios.quality.gate.value,
        quality_interval=ratios.quality.gate.interval,
    )


def _difference(pair: Pair) -> Difference:
    return Difference(
        value=pair.difference.value,
        interval=pair.difference.interval,
        lower_bound=pair.difference.lower_bound,
        mcnemar_p=pair.mcnemar_p,
        discordant=pair.discordant,
        churn=pair.churn,
    )


def _final_test(opened: Opened | None) -> FinalTest | None:
    if opened is None:
        return None
    return FinalTest(
        teacher=opened.teacher.value,
        teacher_interval=opened.teacher.interval,
        student=opened.student.value,
        student_interval=opened.student.interval,
        ratio=opened.ratio.value,
        ratio_interval=opened.ratio.interval,
        difference=_difference(opened.paired),
        opening=opened.opening,
    )


def _against(answer: Mapping[str, Any] | None) -> Against | None:
    comparison = ChampionComparison.model_validate(answer) if answer else None
    if comparison is None or comparison.champion is None or comparison.measured is None:
        return None
    found = comparison.measured
    return Against(
        version=comparison.champion,
        value=found.paired.difference.value,
        interval=found.paired.difference.interval,
        churn=found.paired.churn,
        bytes=found.bytes,
        latency=found.latency.value,
        latency_interval=found.latency.interval,
        better=tuple(comparison.better()),
    )


def _name_run(run: RunRecord) -> Tracked:
    registered = run.registered or {}
    version = registered.get("version")
    return Tracked(
        run_id=run.mlflow_run_id,
        model=registered.get("model"),
        version=None if version is None else str(version),
        alias=registered.get("alias") or None,
    )
