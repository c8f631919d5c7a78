"""The real environment of TensorFlow: Keras models come in as ONNX, students go out as LiteRT files."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stillhouse.models.inspection.inspect import inspect_model
from stillhouse.models.measurement.latency import Schedule
from stillhouse.models.onnx.export import export_model
from stillhouse.models.onnx.import_teacher import FileModel, adopt
from stillhouse.models.runtime.session import open_session
from stillhouse.models.training.checkpoint import Architecture, save_model
from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.foreign.convert_once import convert_once
from stillhouse.tasks.foreign.environment import clean_variables, ensure_environment
from stillhouse.tasks.foreign.keras_import import KERAS, import_keras, read_header
from stillhouse.tasks.foreign.litert import export_litert, judge_files
from stillhouse.tasks.ladder.compress import Order, compress
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.settings import Settings

pytestmark = pytest.mark.long
ROOT = Path(__file__).resolve().parent.parent
HERE = Settings(ROOT, ROOT / ".stillhouse", ROOT / "runs", "")
"""The checkout's own state: the environment is made once, not for each run of the tests."""
ONCE = Schedule(repeats=2, most=2, rounds=5, pause_seconds=0, confidence=0.9, limit=1.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Keras models, good and bad."""
    folder = tmp_path_factory.mktemp("keras")
    python, script = ensure_environment(HERE, print), ROOT / "tests" / "keras_models.py"
    done = subprocess.run([python, script, folder], check=False, capture_output=True, text=True, env=clean_variables())
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("good.keras", "probabilities"),
        ("good.h5", "probabilities"),
        ("good_saved", "probabilities"),
        ("good_plain_saved", "probabilities"),
        ("logits.keras", "logits"),
    ],
)
def test_a_model_comes_in_as_a_black_box(models: Path, tmp_path: Path, name: str, output: str) -> None:
    """The file computes what Keras computes, says what a recipe must say, and is adopted as a teacher."""
    found = import_keras(models / name, tmp_path / "m.onnx", HERE, print)
    assert (found.shape, found.layout, found.output, found.classes) == ((8, 8, 1), "NHWC", output, 10)
    assert found.largest_difference < 1e-5
    images_NCHW = np.random.default_rng(1).integers(0, 17, (20, 1, 8, 8), np.uint8)
    adopt(
        tmp_path / "m.onnx",
        tmp_path / "teacher.onnx",
        image_shape=(1, 8, 8),
        classes=10,
        layout="NHWC",
        scale=1,
        answers=output,
        examples_NCHW=images_NCHW,
    )
    assert FileModel(tmp_path / "teacher.onnx")


def test_a_model_of_any_side_comes_in(models: Path, tmp_path: Path) -> None:
    """Sides that the model leaves open stay open."""
    assert import_keras(models / "any_side.keras", tmp_path / "m.onnx", HERE, print).shape == (None, None, 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lambda.h5", "has a Lambda layer, which runs code"),
        ("fixed.keras", "takes batches of 4 only; build it with keras.Input"),
        ("two.keras", "has 2 outputs; save a model with one"),
        ("only.weights.h5", "has no model in its configuration; save the whole model"),
        ("nan.keras", "answers with NaN"),
        ("linked.h5", "refers to another file or place for model_weights/other"),
        ("cycle.h5", "refers to another file or place for model_weights/again"),
        ("writing_saved", "uses the operator WriteFile, which is more than arithmetic"),
        ("nothing_saved", "no whole"),
    ],
)
def test_a_bad_model_is_refused(models: Path, tmp_path: Path, name: str, words: str) -> None:
    """One sentence names the thing and the remedy, and no file is left."""
    (models / "nothing_saved").mkdir(exist_ok=True)
    with pytest.raises(StillhouseError, match=words):
        import_keras(models / name, tmp_path / "m.onnx", HERE, print)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["good.keras", "good.h5", "good_saved", "good_plain_saved"])
def test_a_model_is_inspected_without_building_it(models: Path, name: str) -> None:
    """Each format has the same parameters, none of them the optimizer's, and at least one separable convolution."""
    found = inspect_model(models / name, lambda path: read_header(path, HERE))
    parameters = 8 * 9 + 8 + 4 * 8 + 9 * 8 + 8 * 16 + 16 + 16 * 10 + 10
    assert found.parameters == parameters
    assert "depthwise" in {layer.kind for layer in found.layers}


def test_a_keras_file_is_compressed_by_one_command(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No flag says the task or the form. A second run converts nothing and finds the same teacher."""
    monkeypatch.setenv("STILLHOUSE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("STILLHOUSE_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "environments").symlink_to(HERE.state / "environments")
    write_sides(tmp_path / "photos")
    wanted = Wanted("sides", str(tmp_path / "photos"), (1, 8, 8), "CC0", None)
    order = Order("sides", models / "sides.keras", None, wanted, Goals(0.9, 1.5, 0.05, 5.0), tmp_path)
    said, again = list[str](), list[str]()
    assert compress(order, said.append).startswith("PASS: the file itself in int8, calibrated: keeps ")
    teacher = load_recipe(tmp_path / "sides" / "recipes" / "sides.yaml").teacher
    assert (teacher.layout, teacher.scale, teacher.output) == ("NHWC", 1.0, "probabilities")  # type: ignore[union-attr]
    assert any(line.startswith("assumed: sides.keras classifies images, and ") for line in said)
    compress(order, again.append)
    assert [any(line.startswith("converting") for line in lines) for lines in (said, again)] == [True, False]
    assert load_recipe(tmp_path / "sides" / "recipes" / "sides.yaml").teacher == teacher


def write_sides(folder: Path) -> None:
    """Write grey pictures whose left or right half is brighter, a folder per class."""
    chance = np.random.default_rng(9)
    for side, halves in (("left", np.s_[:, :4]), ("right", np.s_[:, 4:])):
        (folder / side).mkdir(parents=True)
        for number in range(400):
            pixels_HW = chance.integers(0, 128, (8, 8)).astype(np.uint8)
            pixels_HW[halves] += 127
            Image.fromarray(pixels_HW).save(folder / side / f"{number}.png")


@pytest.mark.parametrize("name", ["good.keras", "good.h5", "good_saved"])
def test_a_model_of_each_format_is_converted_once(models: Path, tmp_path: Path, name: str) -> None:
    """The second call converts nothing and returns the same file, also from another place."""
    said: list[str] = []
    settings = replace(HERE, state=tmp_path)
    (tmp_path / "environments").symlink_to(HERE.state / "environments")
    first = convert_once(models / name, KERAS, settings, said.append)
    copy = shutil.copytree if (models / name).is_dir() else shutil.copyfile
    assert convert_once(Path(copy(models / name, tmp_path / name)), KERAS, settings, said.append) == first
    assert [line.partition(" ")[0] for line in said] == ["converting", name]
    assert open_session(first).get_outputs()[0].shape[1] == 10


STUDENTS = {
    "plain": {"widths": [16, 32, 32], "strides": [2, 2, 1], "pool": 7},
    "residual": {"stem": 16, "widths": [16, 32], "strides": [1, 2]},
    "separable": {"stem": 16, "widths": [16, 32], "strides": [1, 2], "block": "separable", "pool": 7},
}


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_goes_out_as_litert(tmp_path: Path, name: str) -> None:
    """The LiteRT runtime answers as ONNX Runtime does, from raw pixels, with a file of a quarter of the bytes."""
    network = "residual" if name == "separable" else name
    architecture = Architecture(network, STUDENTS[name], 255.0, (1, 28, 28))
    module = architecture.build_seeded(2).eval()
    save_model(tmp_path / "student", module, architecture)
    images_NCHW = np.random.default_rng(1).integers(0, 256, (200, 1, 28, 28), np.uint8)
    images_NCHW[0] = 255
    size = export_litert(tmp_path / "student", images_NCHW, tmp_path / "student.tflite", HERE, print)
    export_model(module, architecture, images_NCHW, tmp_path / "student.onnx")
    files = [tmp_path / "student.onnx", tmp_path / "student.tflite"]
    judged = judge_files(files, images_NCHW, ONCE, HERE, print)
    onnx_NK, litert_NK = judged.answers_NK
    assert np.abs(onnx_NK - litert_NK).max() < 0.05 * np.abs(onnx_NK).max()
    assert judged.bytes == [files[0].stat().st_size, size]
    assert size < 0.25 * judged.bytes[0] + 12_000
    low, high = judged.comparisons[0]["interval"]
    assert 0 < low <= judged.comparisons[0]["ratio"] <= high


def test_a_student_without_a_litert_form_is_refused(tmp_path: Path) -> None:
    """The sentence names the operators, and no file is left."""
    arguments = {"side": 28, "patch": 7, "width": 16, "heads": 2, "hidden": 16, "depth": 1}
    architecture = Architecture("attention", arguments, 255.0, (1, 28, 28))
    save_model(tmp_path / "student", architecture.build_seeded(1), architecture)
    images_NCHW = np.zeros((4, 1, 28, 28), np.uint8)
    with pytest.raises(StillhouseError, match=r"operators without a LiteRT form here \(.*\); use a plain or residual"):
        export_litert(tmp_path / "student", images_NCHW, tmp_path / "student.tflite", HERE, print)
    assert not (tmp_path / "student.tflite").exists()
