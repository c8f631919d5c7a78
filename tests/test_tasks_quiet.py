"""Trainings share a host, and a measurement has it alone."""

import threading
from pathlib import Path

from stillhouse.tasks.artifacts.locks import beside

SECONDS = 10.0


def test_a_measurement_waits_for_trainings_and_they_for_it(tmp_path: Path) -> None:
    """Two trainings hold the lock together; a measurement begins when both have ended, and says that it waits."""
    lock, told, measured = tmp_path / "lock", threading.Event(), threading.Event()

    def measure() -> None:
        with beside(lock, alone=True, wait=told.set):
            measured.set()

    thread = threading.Thread(target=measure)
    with beside(lock, alone=False, wait=told.set), beside(lock, alone=False, wait=told.set):
        assert not told.is_set()
        thread.start()
        assert told.wait(SECONDS)
        assert not measured.is_set()
    assert measured.wait(SECONDS)
    thread.join()


def test_nobody_waits_for_a_free_lock(tmp_path: Path) -> None:
    """A measurement begins at once where nothing trains, and a training does after it."""
    told = threading.Event()
    for alone in (True, False, True):
        with beside(tmp_path / "lock", alone=alone, wait=told.set):
            assert not told.is_set()
