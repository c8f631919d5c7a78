"""Files are written aside under a name of the writer's own: writers of one file never meet."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from stillhouse.models.aside import ABANDONED_SECONDS, SUFFIX, write_aside
from stillhouse.models.distillation.teacher_cache import cache_outputs
from stillhouse.models.onnx.packing import pack
from stillhouse.models.training.checkpoint import save_tensors
from stillhouse.models.workloads.retrieval.search.index import build_index
from stillhouse.tasks.artifacts.artifact import write_json
from stillhouse.tasks.data.ingest.inbox import Folder
from stillhouse.tasks.data.store.revision import write_pointer
from stillhouse.tasks.reporting.report import _point, _write_text

ROOT = Path(__file__).resolve().parent.parent
TENSORS = {"a": torch.arange(20000.0)}
VECTORS = np.eye(8, dtype=np.float32)
IMAGES = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)


def packed(folder: Path) -> None:
    own = folder / f"{threading.get_ident()}"
    own.mkdir(exist_ok=True)
    (own / "a.onnx").write_bytes(b"x" * 2000)
    pack(own / "a.onnx")


WRITERS: dict[str, Callable[[Path], object]] = {
    "tensors": lambda folder: save_tensors(folder / "model.safetensors", TENSORS, {}),
    "an index": lambda folder: build_index(VECTORS, "space", "fp32").save(folder / "index.safetensors"),
    "a packed model": packed,
    "JSON": lambda folder: write_json(folder / "a.json", {"a": list(range(2000))}),
    "a landed file": lambda folder: Folder(folder).put("a/b/c/reason.txt", b"x" * 20000),
    "data.dvc": lambda folder: write_pointer(folder, {}),
    "the report": lambda folder: _write_text(folder / "report.html", "x" * 20000),
    "the newest run": lambda folder: _point(folder / "latest", folder),
}


@pytest.mark.parametrize("name", WRITERS)
def test_writers_of_one_file_do_not_meet(tmp_path: Path, name: str) -> None:
    """Eight writers of one file, 20 times each, all succeed and leave nothing else."""
    faults: list[Exception] = []
    (tmp_path / "data.dvc").write_text("outs: []\n", encoding="utf-8")

    def write() -> None:
        for _ in range(20):
            try:
                WRITERS[name](tmp_path)
            except OSError as error:
                faults.append(error)

    together([write] * 8)
    assert faults == []
    assert list(tmp_path.rglob(f"*{SUFFIX}")) == []


def together(deeds: list[Callable[[], object]]) -> None:
    """Do all at the same time."""
    threads = [threading.Thread(target=deed) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_two_stages_may_ask_a_teacher_the_same_at_once(tmp_path: Path) -> None:
    """Both ask, both keep the answer, and both get it."""
    both, found = threading.Barrier(2), list[Tensor]()

    def ask(images_NCHW: Tensor) -> Tensor:
        both.wait()
        return images_NCHW.float().repeat(500, 1, 1, 1)

    together([lambda: found.append(cache_outputs(ask, tmp_path / "teacher")(IMAGES))] * 2)
    assert [len(each) for each in found] == [2000, 2000]
    assert [path.suffix for path in (tmp_path / "teacher").iterdir()] == [".safetensors"]


def test_a_write_that_breaks_leaves_the_old_file(tmp_path: Path) -> None:
    """The file is as it was, and nothing lies beside it."""
    (tmp_path / "a").write_text("old", encoding="utf-8")
    with pytest.raises(ZeroDivisionError):
        broken(tmp_path / "a")
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["old"]


def broken(path: Path) -> None:
    with write_aside(path) as aside:
        aside.write_text("half", encoding="utf-8")
        raise ZeroDivisionError


def test_what_a_killed_writer_left_goes_after_a_day(tmp_path: Path) -> None:
    """An old file aside is deleted when a teacher is asked again; one that may still be written is not."""
    old, new = (tmp_path / f".{name}.1-0{SUFFIX}" for name in ("old", "new"))
    for path in (old, new):
        path.touch()
    then = time.time() - ABANDONED_SECONDS - 1
    os.utime(old, (then, then))
    cache_outputs(lambda images: images, tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_one_place_names_files_aside() -> None:
    """No other module makes a name ending in `.partial`, but for the folders that a lock protects."""
    locked = {"models/aside.py", "tasks/artifacts/outputs.py", "tasks/pipeline/run_stage.py", "tasks/stages/pull.py"}
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("dags", "models", "tasks")
        for path in (ROOT / package).rglob("*.py")
        if f"{SUFFIX}'" in (text := path.read_text(encoding="utf-8").replace('"', "'")) or f"{SUFFIX}}}" in text
    }
    assert found == locked
