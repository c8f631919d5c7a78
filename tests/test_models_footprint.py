"""Time, memory and loading: fair between two places, honest about noise."""

import os
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import stillhouse.models.measurement.latency
import stillhouse.models.measurement.step_cost
from stillhouse.models.errors import ModelError
from stillhouse.models.measurement.latency import (
    Schedule,
    compare,
    compare_calls,
    confidence_per_look,
    machine,
    open_call,
)
from stillhouse.models.measurement.resources import serving_of
from stillhouse.models.measurement.step_cost import Change, step_cost
from stillhouse.models.onnx.packing import pack

IMAGE = np.zeros((1, 1, 8, 8), np.uint8)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for a steady pace."""
    monkeypatch.setattr(stillhouse.models.measurement.latency, "LONGEST_WARM_UP_SECONDS", 0.1)


def write_model(path: Path, width: int, repeats: int = 1) -> Path:
    """Write pixels -> float -> `repeats` products with a (width, width) matrix, padded with zero weights."""
    rows = numpy_helper.from_array(np.zeros((64, width), np.float32), "first")
    square = numpy_helper.from_array(np.zeros((width, width), np.float32), "square")
    names = ["h", *(f"h{place}" for place in range(repeats - 1)), "logits_NK"]
    nodes = [
        helper.make_node("Cast", ["images_NCHW"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["float"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["h"]),
        *(helper.make_node("MatMul", [a, "square"], [b]) for a, b in pairwise(names)),
    ]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("images_NCHW", TensorProto.UINT8, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits_NK", TensorProto.FLOAT, ["batch", width])],
        [rows, square],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that answers in a few hundredths of a millisecond."""
    return write_model(tmp_path_factory.mktemp("small") / "small.onnx", 64)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 4 MiB, all of which every answer needs."""
    return write_model(tmp_path_factory.mktemp("large") / "large.onnx", 1024, repeats=2)


def test_a_far_limit_is_decided_at_the_first_look(small: Path) -> None:
    """Timing ends after `repeats` where the interval is clear of the limit, whatever `most` allows."""
    assert len(compare(small, small, IMAGE, Schedule(3, 9, 10, 0.0, 0.9, 1000.0)).ratios) == 3


def test_timing_looks_at_multiples_of_its_repeats_and_at_the_end(small: Path) -> None:
    """A file against itself at the limit 1 and no doubt allowed goes on past 3 and 6 to its 7 repeats."""
    assert len(compare(small, small, IMAGE, Schedule(3, 7, 10, 0.0, 0.9999999, 1.0)).ratios) == 7


@pytest.mark.parametrize(
    ("repeats", "most", "confidence"), [(9, 9, 0.9), (9, 27, 1 - 0.1 / 3), (3, 7, 1 - 0.1 / 3), (5, 9, 0.95)]
)
def test_the_doubt_is_divided_over_the_looks(repeats: int, most: int, confidence: float) -> None:
    """With 10 % doubt in all, three looks have a third of it each (Bonferroni)."""
    assert confidence_per_look(Schedule(repeats, most, 10, 0.0, 0.9, 1.0)) == pytest.approx(confidence)


def test_who_goes_first_changes_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds of two calls go A B B A, and each turn has one call that is not counted."""
    monkeypatch.setattr(stillhouse.models.measurement.latency, "CALLS_PER_TURN", 1)
    order: list[str] = []
    times = stillhouse.models.measurement.latency._rounds([lambda: order.append("A"), lambda: order.append("B")], 2)  # noqa: SLF001 - the order is the point
    assert "".join(order) == "AABBBBAA"
    assert [len(kept) for kept in times] == [2, 2]


def test_who_is_opened_first_changes_every_repeat(small: Path, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over three repeats the files are opened small large, large small, small large."""
    opened: list[Path] = []
    real = stillhouse.models.measurement.latency.open_session
    monkeypatch.setattr(
        stillhouse.models.measurement.latency, "open_session", lambda path: opened.append(path) or real(path)
    )
    compare(small, large, IMAGE, Schedule(3, 3, 2, 0.0, 0.9, 1000.0))
    assert opened == [small, large, large, small, small, large]


def test_a_larger_model_is_slower(small: Path, large: Path) -> None:
    """The ratio is baseline / candidate time, and its interval clears 1 where the difference is plain."""
    found = compare(large, small, IMAGE, Schedule(3, 3, 10, 0.0, 0.9, 1.0))
    assert found.interval[0] > 1
    assert found.baseline.p10 > found.candidate.p10


def test_a_steady_call_is_warm_and_an_unsteady_one_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The warm-up ends when two windows agree; a pace that doubles with every window is cut off and told."""
    windows = iter([[1.0], [1.5], [1.51]])
    monkeypatch.setattr(stillhouse.models.measurement.latency, "_rounds", lambda _calls, _rounds: [next(windows)])
    assert stillhouse.models.measurement.latency._warm_up([object]) is True  # noqa: SLF001 - its own rule
    assert list(windows) == []
    monkeypatch.setattr(stillhouse.models.measurement.latency, "LONGEST_WARM_UP_SECONDS", 0.01)
    paces = (2.0**place for place in range(1000))
    monkeypatch.setattr(stillhouse.models.measurement.latency, "_rounds", lambda _calls, _rounds: [[next(paces)]])
    assert stillhouse.models.measurement.latency._warm_up([object]) is False  # noqa: SLF001 - its own rule


@pytest.mark.parametrize(("least_gain", "needed"), [(1.0101, 1.0101), (1.05, 1.05)])
def test_a_step_is_timed_until_the_speed_that_decides_is_clear(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least_gain: float, needed: float
) -> None:
    """Two files of one size are timed against the gain that is asked for, and not against 1."""
    schedules: list[Schedule] = []
    real = stillhouse.models.measurement.step_cost.compare_calls
    monkeypatch.setattr(
        stillhouse.models.measurement.step_cost, "compare_calls", lambda calls, s: schedules.append(s) or real(calls, s)
    )
    np.save(tmp_path / "image.npy", IMAGE)
    found = step_cost([Change(small, small, tmp_path / "image.npy")], least_gain)
    assert schedules[0].limit == found["speedup"]["needed"] == pytest.approx(needed)


def test_the_machine_is_described() -> None:
    """The description names processor, threads, core and runtime, and the core is the last one of this process."""
    found = machine()
    assert {"cpu", "instructions", "threads", "core", "onnxruntime"} <= found.keys()
    assert max(os.sched_getaffinity(0)) == found["core"]


def test_a_comparison_holds_one_core_and_gives_the_others_back(small: Path) -> None:
    """Calls are timed on the last core alone; afterwards the process has all its cores, even after an error."""
    cores, held = os.sched_getaffinity(0), list[set[int]]()

    def breaks() -> Callable[[], object]:
        held.append(os.sched_getaffinity(0))
        raise ModelError

    with pytest.raises(ModelError):
        compare_calls((partial(open_call, small, IMAGE), breaks), Schedule(3, 3, 10, 0.0, 0.99, 1.0))
    assert (held, os.sched_getaffinity(0)) == ([{max(cores)}], cores)


def test_serving_counts_memory_time_and_work(small: Path, large: Path) -> None:
    """A file of 4 MiB takes at least that much more memory than one of 32 KiB, and more processor time."""
    one, other = serving_of(small, IMAGE, processes=1), serving_of(large, IMAGE, processes=1)
    assert other.peak_bytes - one.peak_bytes > 4 * 2**20
    assert other.cpu_seconds_per_1000 > one.cpu_seconds_per_1000 > 0
    assert (one.unpack_ms, other.unpack_ms) == (0, 0)


def test_serving_a_packed_file_counts_its_unpacking(tmp_path: Path) -> None:
    """Unpacking takes time, which is part of loading."""
    found = serving_of(pack(write_model(tmp_path / "student.onnx", 256)), IMAGE, processes=1)
    assert 0 < found.unpack_ms < 2 * found.load_ms


def test_a_file_that_cannot_be_served_is_named(tmp_path: Path) -> None:
    """The reason of the other process is repeated in one sentence."""
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(
        ModelError, match=r"broken.onnx cannot be served in a process of its own \(.+\); export it again"
    ):
        serving_of(path, IMAGE, processes=1)
