"""Trainings share a host, and a measurement has it alone."""

import threading
from collections.abc import Callable
from pathlib import Path

from stillhouse.tasks.artifacts.locks import quiet

SECONDS = 10.0


def started(work: Callable[[], None]) -> threading.Thread:
    """Begin work beside the test."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_measurement_waits_for_trainings_and_they_for_it(tmp_path: Path) -> None:
    """Two trainings use the host together; a measurement begins when both have ended, and says that it waits."""
    told, measured = threading.Event(), threading.Event()

    def measure() -> None:
        with quiet(tmp_path, alone=True, wait=told.set):
            measured.set()

    with quiet(tmp_path, alone=False, wait=told.set), quiet(tmp_path, alone=False, wait=told.set):
        assert not told.is_set()
        thread = started(measure)
        assert told.wait(SECONDS)
        assert not measured.is_set()
    assert measured.wait(SECONDS)
    thread.join()


def test_a_training_that_comes_after_a_measurement_begins_after_it(tmp_path: Path) -> None:
    """While a measurement waits for one training, a second training waits too, so the measurement's turn comes."""
    order: list[str] = []
    waits = {name: threading.Event() for name in ("measure", "train")}

    def use(name: str) -> None:
        with quiet(tmp_path, alone=name == "measure", wait=waits[name].set):
            order.append(name)

    with quiet(tmp_path, alone=False, wait=lambda: None):
        threads = [started(lambda: use("measure"))]
        assert waits["measure"].wait(SECONDS)
        threads.append(started(lambda: use("train")))
        assert waits["train"].wait(SECONDS)
        assert order == []
    for thread in threads:
        thread.join(SECONDS)
    assert order == ["measure", "train"]


def test_nobody_waits_for_a_free_lock(tmp_path: Path) -> None:
    """A measurement begins at once where nothing trains, and a training does after it."""
    told = threading.Event()
    for alone in (True, False, True):
        with quiet(tmp_path, alone=alone, wait=told.set):
            assert not told.is_set()
