"""Processes that read pictures: the same chunks as without them, and no process that outlives the import."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest
from data_samples import quiet
from import_samples import SHAPE, import_from, settings_of
from picture_samples import photos

from stillhouse.tasks.data.importing import readers as readers_module
from stillhouse.tasks.data.importing import spool as spool_module
from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import DataError


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few pictures be worth processes."""
    monkeypatch.setattr(spool_module, "MANY", 1)
    monkeypatch.setattr(spool_module, "CHUNK_ROWS", {"image": 10})


@pytest.mark.usefixtures("small_chunks")
def test_processes_make_the_same_dataset(tmp_path: Path) -> None:
    """How many processes read does not change a byte, also if half of the chunks are there already."""
    root = photos(tmp_path / "photos")
    (root / "cat" / "note.txt").write_text("no picture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "MANY", 10_000)
        alone = import_from(tmp_path / "alone", root)
    found = import_from(tmp_path / "together", root)
    assert (found.digest, found.rejected) == (alone.digest, alone.rejected)


@pytest.mark.usefixtures("small_chunks")
def test_a_reader_that_is_ended_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system ends a reader, the sentence says so, and the next import goes on."""
    root, finish, ended = photos(tmp_path / "photos"), readers_module._finish, []  # noqa: SLF001 - the only wait

    def end_one(busy: deque[object], readers: deque[object]) -> Path:
        if not ended:
            ended.extend(child.pid for child in readers_module.multiprocessing.active_children())
            os.kill(ended[0], signal.SIGKILL)
        return finish(busy, readers)  # type: ignore[arg-type]

    monkeypatch.setattr(readers_module, "_finish", end_one)
    with pytest.raises(DataError, match="a process that reads the files was ended; free memory and import again"):
        import_from(tmp_path, root)
    monkeypatch.setattr(readers_module, "_finish", finish)
    assert sum(import_from(tmp_path, root).counts.values()) == 180


PROGRAM = f"""
import sys
from pathlib import Path
from stillhouse.tasks.data.importing import spool
from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.settings import Settings
spool.MANY, spool.CHUNK_ROWS = 1, {{"image": 10}}
root = Path(sys.argv[1])
wanted = Wanted("mine", sys.argv[2], {SHAPE!r}, "CC0")
import_local(Settings(root, root / "state", root / "runs", ""), wanted, lambda line: print(line, flush=True))
"""


def children_of(process: int) -> Iterator[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text("ascii")
    return map(int, listed.split())


def test_readers_end_with_a_killed_import(tmp_path: Path) -> None:
    """After SIGKILL no reader is left or complains, and the next import makes the whole."""
    root = photos(tmp_path / "photos")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        children: list[int] = []
        for line in child.stdout or ():
            if line.startswith("reading 70"):
                children = list(children_of(child.pid))
                child.kill()
                break
        assert child.stderr is not None
        assert not child.stderr.read()
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = import_local(settings_of(tmp_path), Wanted("mine", root, SHAPE, "CC0"), quiet)
    assert sum(found.counts.values()) == 180
