"""What was measured holds on the kind of machine that measured it, and nothing is trained again for a time."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from distillation_samples import logit_distillation
from light_night import doing, done, light_house
from tiny_house import House

from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.artifacts.machine import describe, machine
from stillhouse.tasks.judging.keep_step import BY_TIME, decided_by_time, judge_step, least_gain
from stillhouse.tasks.pipeline import measured
from stillhouse.tasks.pipeline import run_stage as stage_module
from stillhouse.tasks.pipeline.graph import Stage
from stillhouse.tasks.pipeline.job import Job, Metrics
from stillhouse.tasks.pipeline.measured import holds_here_only
from stillhouse.tasks.pipeline.run_stage import run_stage
from stillhouse.tasks.recipe.steps import Fold, KeepStepIf, PruneStructured
from stillhouse.tasks.tracking.tags import PREFIX

XEON = """\
processor\t: 0
cpu family\t: 6
model\t\t: 207
model name\t: Intel(R) Xeon(R) Processor
microcode\t: 0x1
cpu MHz\t\t: 2300.000
flags\t\t: fpu avx2 avx512f avx512_vnni

processor\t: 1
model name\t: another
"""
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


@pytest.mark.parametrize(
    ("before", "after", "cores", "same"),
    [
        ("cpu MHz\t\t: 2300.000", "cpu MHz\t\t: 3100.000", 2, True),
        ("microcode\t: 0x1", "microcode\t: 0x2", 2, True),
        ("fpu avx2 avx512f", "avx512f avx2 fpu", 2, True),
        ("model name\t: another", "model name\t: a third", 2, True),
        ("model\t\t: 207", "model\t\t: 143", 2, False),
        ("Intel(R) Xeon(R) Processor", "AMD EPYC Processor", 2, False),
        (" avx512_vnni", "", 2, False),
        ("avx512_vnni", "avx512_vnni amx_int8", 2, False),
        ("", "", 4, False),
        (XEON, ARM, 2, False),
        (XEON, ARM.replace("0xd40", "0xd4f"), 2, False),
        (XEON, "", 2, False),
    ],
)
def test_a_machine_is_its_processor_its_instructions_and_its_cores(
    before: str, after: str, cores: int, *, same: bool
) -> None:
    """Pace and microcode are of no account; model, instructions and cores are, on Intel, Arm and what tells nothing."""
    assert (describe(XEON.replace(before, after), cores) == describe(XEON, 2)) is same


def test_a_machine_has_a_line_for_people() -> None:
    """The line names the processor and how many cores may be used, and no host."""
    assert describe(XEON, 2).startswith("Intel(R) Xeon(R) Processor, cpu family 6, model 207, 2 cores, instructions ")
    assert "CPU part 0xd40" in describe(ARM, 2)
    assert " cores, instructions " in machine()


LESSON = logit_distillation()
FOLD, TO_BYTES = Fold(method="fold"), PruneStructured(method="prune_structured", bytes=1000, finetune=LESSON)
TO_TIME = PruneStructured(method="prune_structured", milliseconds=0.1, finetune=LESSON)


def step_run(by_time: float | None, done_on: str | None) -> Any:
    metrics = {} if by_time is None else {BY_TIME: by_time}
    return SimpleNamespace(data=SimpleNamespace(metrics=metrics, tags={PREFIX + "done_on": done_on} if done_on else {}))


@pytest.mark.parametrize(
    ("kind", "step", "known", "here_only"),
    [
        ("evaluate", None, [], True),
        ("compare_champion", None, [], True),
        ("load_test", None, [], True),
        ("pull", None, [], False),
        ("validate", None, [], False),
        ("teacher", None, [], False),
        ("export", None, [], False),
        ("gate", None, [], False),
        ("compress", TO_TIME, [], True),
        ("compress", TO_BYTES, [], False),
        ("compress", FOLD, [step_run(0, "another")], False),
        ("compress", FOLD, [step_run(1, "another")], True),
        ("compress", FOLD, [step_run(1, machine())], False),
        ("compress", FOLD, [step_run(0, machine()), step_run(1, "another")], True),
        ("compress", FOLD, [step_run(1, None)], False),
        ("compress", FOLD, [step_run(None, "another")], False),
    ],
)
def test_only_what_a_time_decided_is_of_one_machine(
    monkeypatch: pytest.MonkeyPatch, kind: str, step: object, known: list[Any], *, here_only: bool
) -> None:
    """Measurements and pruning down to a time are; a step is where another machine's time decided about it."""
    monkeypatch.setattr(measured, "find_finished", lambda *_: known)
    client: Any = None
    assert holds_here_only(client, Stage("a", kind, {"step": step}), "key") is here_only


def cost(times_fewer: float, times_as_fast: float) -> Mapping[str, Any]:
    sizes = {"before": int(1000 * times_fewer), "after": 1000}
    needed = least_gain(KeepStepIf()) / times_fewer
    speedup = {"value": times_as_fast, "interval": (times_as_fast, times_as_fast), "needed": needed}
    return {"bytes": sizes, "zstd_bytes": sizes, "speedup": speedup}


@pytest.mark.parametrize(
    ("lost", "fewer", "fast", "by_time"),
    [
        (0.0, 4, 1.0, False),
        (0.0, 4, 2.0, False),
        (0.0, 4, 0.2, True),
        (0.0, 1, 2.0, True),
        (0.0, 1, 1.0, False),
        (0.5, 4, 2.0, False),
    ],
)
def test_a_time_decides_where_bytes_and_quality_alone_would_not(
    lost: float, fewer: float, fast: float, *, by_time: bool
) -> None:
    """The time decides where a step is only faster, or too slow for what it saves; not where it loses too much."""
    found = cost(fewer, fast)
    judged = judge_step(lost, found, KeepStepIf())
    assert decided_by_time(judged, lost, found, KeepStepIf()) is by_time


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with light stages and one night, whose first step a time decided about."""
    with light_house(tmp_path_factory.mktemp("house")) as house:
        house.run("test/here", until="load_test")
        yield house


def moved(patch: pytest.MonkeyPatch, name: str) -> None:
    for module in (stage_module, measured):
        patch.setattr(module, "machine", lambda: name)


def test_another_machine_measures_anew_and_trains_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are taken again on another processor, the tags say why; back on the first one everything is reused."""
    done.clear()
    with monkeypatch.context() as patch:
        moved(patch, "a faster machine")
        house.run("test/there", until="load_test")
    assert done == ["evaluate", "compare_champion", "load_test"]
    tags = house.stages("test/there")["evaluate"].data.tags
    before = house.stages("test/here")["evaluate"].info.run_id
    assert tags[f"{PREFIX}measured_anew"] == (
        f"measured anew on a faster machine: MLflow run {before} measured it on {machine()}"
    )
    assert tags[f"{PREFIX}outside.machine"] == "a faster machine"
    assert house.stages("test/there")["teacher"].data.tags[f"{PREFIX}done_on"] == machine()
    done.clear()
    house.run("test/home", until="load_test")
    assert done == []
    assert f"{PREFIX}measured_anew" not in house.stages("test/home")["evaluate"].data.tags


def test_a_step_that_a_time_decided_about_is_done_again_elsewhere(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine decides anew about a step that was kept by its time, once, and about no other."""
    light = stage_module.function_of("compress")

    def kept_by_time(job: Job) -> Metrics:
        metrics = light(job) | {BY_TIME: float(job.settings["step"].method == "quantize")}
        write_json(job.out / "step.json", metrics)
        return metrics

    doing(monkeypatch, "compress", kept_by_time)
    quantize = next(name for name in house.stages("test/here") if "quantize" in name)
    house.run("test/timed", until="export")
    run_stage(house.recipe, quantize, "test/timed", force=True)
    house.run("test/timed", until="export")
    done.clear()
    with monkeypatch.context() as patch:
        moved(patch, "a slower machine")
        house.run("test/slower", until="export")
        house.run("test/slower_again", until="export")
    assert done == ["compress"]
    done.clear()
    house.run("test/home_again", until="export")
    assert done == []
