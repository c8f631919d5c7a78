"""Folders of timm, with the real timm: converted to ONNX, and compressed by one command."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillhouse.models.runtime.session import open_session, predict
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.convert_once import convert_once
from stillhouse.tasks.foreign.environment import TIMM, ensure_packages
from stillhouse.tasks.foreign.timm_import import from_timm
from stillhouse.tasks.ladder.compress import Order, compress
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.settings import Settings

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parent.parent
HERE = Settings(ROOT, ROOT / ".stillhouse", ROOT / "runs", "")
SHAPE = (3, 32, 32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of timm with random weights."""
    folder = tmp_path_factory.mktemp("timm")
    path = os.pathsep.join([str(ROOT / "src"), str(ensure_packages(HERE, print, TIMM))])
    command = [sys.executable, ROOT / "tests" / "timm_models.py", folder]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A deployment of its own, with the environments that are made already."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "environments").symlink_to(HERE.state / "environments")
    return replace(HERE, state=tmp_path / "state")


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_a_folder_is_converted_once(folders: Path, settings: Settings, name: str) -> None:
    """The file takes raw pictures of the data and answers as timm does; the second call converts nothing."""
    said: list[str] = []
    found = [convert_once(folders / name, from_timm(SHAPE), settings, said.append) for _ in range(2)]
    assert found[0] == found[1]
    assert [line.partition(" ")[0] for line in said] == ["converting", name]
    images_NCHW = np.random.default_rng(1).integers(0, 256, (4, *SHAPE)).astype(np.float32)
    logits_NK = predict(open_session(found[0]), images_NCHW)
    assert logits_NK.shape == (4, 2)
    assert np.ptp(logits_NK, axis=0).max() > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architecture": "vit_of_ours"}, "is a vit_of_ours, which timm 1.0.31 does not have; export"),
        (
            {"architecture": "test_resnet"},
            "is not what timm 1.0.31 builds as test_resnet .*; save it again",
        ),
        ({"num_classes": 7}, "is not what timm 1.0.31 builds as test_vit .*; save it again"),
        ({"pretrained_cfg": {"crop_mode": "border"}}, "prepares pictures by crop_mode border"),
    ],
)
def test_a_bad_folder_is_one_sentence(
    folders: Path, tmp_path: Path, settings: Settings, changes: dict[str, object], words: str
) -> None:
    """The sentence names the model and the remedy, and nothing is kept."""
    folder = shutil.copytree(folders / "test_vit", tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | changes
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(StillhouseError, match=words):
        convert_once(folder, from_timm(SHAPE), settings, print)
    assert list((settings.state / "conversions").glob("*/*.onnx")) == []


def test_a_folder_is_compressed_by_one_command(
    folders: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No flag says the task; the teacher is the converted file, and the first rung is that file in int8."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(settings.state))
    monkeypatch.setenv("STILLHOUSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_photos(tmp_path / "photos")
    wanted = Wanted("mine", tmp_path / "photos", SHAPE, "unknown")
    order = Order("mine", folders / "test_resnet", None, wanted, Goals(0.01, 1.1, 0.1, 3), tmp_path / "compressed")
    said: list[str] = []
    compress(order, said.append)
    assert any("test_resnet classifies images" in line for line in said)
    ladder = json.loads((tmp_path / "compressed" / "mine" / "ladder.json").read_text(encoding="utf-8"))
    assert "int8" in json.dumps(ladder)


def write_photos(folder: Path) -> None:
    """Write 300 pictures of two classes: the left or the right half is bright."""
    draw = np.random.default_rng(2)
    for number in range(300):
        side = ("left", "right")[number % 2]
        pixels_HWC = draw.integers(0, 100, (32, 32, 3), np.uint8)
        halves = np.s_[:, :16] if side == "left" else np.s_[:, 16:]
        pixels_HWC[halves] += 120
        (folder / side).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels_HWC).save(folder / side / f"{number}.png")
