"""`stillhouse check`: a sound recipe passes, and each mistake is found before anything is trained on the whole data."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from data_samples import built_dataset, cell, commit_house, make_house, quiet, repin
from tiny_house import tiny_recipe

from stillhouse.models.data.captions import load_captions
from stillhouse.models.data.images import load_images
from stillhouse.tasks.data.format.dataset import SPLITS, fault_of, read_description
from stillhouse.tasks.data.store.excerpt import LABELS, write_excerpt
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.rehearsal import check as check_module
from stillhouse.tasks.rehearsal import expect
from stillhouse.tasks.rehearsal.check import Finding, check_recipe
from stillhouse.tasks.rehearsal.estimate import Estimate, epochs_of, estimate
from stillhouse.tasks.rehearsal.rehearse import Rehearsed
from stillhouse.tasks.rehearsal.shorten import BATCH, EPOCHS, shorten
from stillhouse.tasks.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "dags" / "recipes").glob("*.yaml"))
Content = dict[str, Any]


@pytest.mark.parametrize("name", ["digits", "emoji_small", "stamps_small", "stamps_speech_small"])
def test_an_excerpt_is_a_whole_dataset(tmp_path: Path, name: str) -> None:
    """Its files have the digests that it names, and each split has some rows of the same split."""
    digest = write_excerpt(built_dataset(name), tmp_path, 32)
    assert fault_of(tmp_path, digest) == ""
    whole, few = (read_description(folder)["splits"] for folder in (built_dataset(name), tmp_path))
    for split in SPLITS:
        assert 0 < few[split]["count"] <= min(32, whole[split]["count"])
    own, all_rows = (pq.read_table(folder / "manifest.parquet") for folder in (tmp_path, built_dataset(name)))
    pairs = [
        set(zip(table["split"].to_pylist(), table["sha256"].to_pylist(), strict=True)) for table in (own, all_rows)
    ]
    assert pairs[0] < pairs[1]


def test_an_excerpt_of_pictures_keeps_every_label(tmp_path: Path) -> None:
    """Rows are spread over a split, so that each digit is among them."""
    write_excerpt(built_dataset("digits"), tmp_path, 64)
    assert set(load_images(tmp_path, "train").labels_N.tolist()) == set(range(10))


def test_an_excerpt_with_captions_has_those_of_its_labels(tmp_path: Path) -> None:
    """The captions that stay are of the labels whose pictures stay."""
    write_excerpt(built_dataset("emoji_small"), tmp_path, 512)
    pictures = set(load_images(tmp_path, "gate").labels_N.tolist())
    assert set(load_captions(tmp_path).labels_N.tolist()) == pictures
    assert len(pictures) <= LABELS


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_can_be_rehearsed(path: Path) -> None:
    """The short recipe is valid, has the same networks and methods, and trains a few epochs of small batches."""
    whole = load_recipe(path)
    short = shorten(whole)
    assert [step.method for step in short.steps] == [step.method for step in whole.steps]
    assert short.teacher.networks == whole.teacher.networks
    trained = epochs_of(short)
    assert trained.keys() == epochs_of(whole).keys()
    assert set(trained.values()) == {EPOCHS}
    assert all(each <= BATCH for each in _values(short.model_dump(), "batch_size"))


def _values(content: Any, key: str) -> Iterator[int]:
    if isinstance(content, dict):
        yield from ([content[key]] if key in content else [])
    for each in (
        content.values() if isinstance(content, dict) else content if isinstance(content, (list, tuple)) else ()
    ):
        yield from _values(each, key)


def test_the_time_of_a_night_grows_with_rows_and_epochs() -> None:
    """Seconds outside training stay, seconds of an epoch grow with the rows; memory grows with rows and views."""
    recipe = load_recipe(ROOT / "dags" / "recipes" / "seed_digits.yaml")
    described = {"splits": {"train": {"count": 1_000}}, "image_shape": [1, 8, 8], "dtype": "uint8"}
    excerpt = {"splits": {"train": {"count": 100}}}
    stages = [Rehearsed("teacher", 10.0, [2.0, 1.0, 1.0], [3.0, 4.0, 5.0]), Rehearsed("export", 5.0)]
    found = estimate(recipe, stages, described, excerpt, peak=1e6)
    assert found.minutes * 60 == pytest.approx(10 - 3 + 1 * 10 * 12 + 5)
    assert found.bytes == 1e6 + 1_000 * 64


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Give a house whose remote has the digits."""
    return make_house(tmp_path / "house", monkeypatch)


def findings(house: Settings, change: Callable[[Content], object] = lambda _: None) -> list[Finding]:
    """Check the tiny recipe after a change of its content."""
    path = tiny_recipe(house.root)
    content = yaml.safe_load(path.read_text("utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return list(check_recipe(path, quiet))


def test_a_sound_recipe_passes_every_check(house: Settings) -> None:
    """Each check has a note, losses fall, and the machine's has the time of the night; nothing is left behind."""
    found = findings(house)
    assert [each.fault for each in found] == [None] * len(found)
    assert [each.check for each in found][:5] == ["recipe", "packages", "data", "splits", "data contract"]
    notes = {each.check: each.note for each in found}
    assert notes["data"] == "train 937, calibration 100, validation 100, gate 300, test 360"
    assert notes["teacher"].startswith("loss ")
    assert {"step_1_distil", "step_2_prune_unstructured", "step_3_quantize", "step_4_pack", "export"} <= notes.keys()
    assert "x smaller and up to" in notes["gate"]
    assert notes["machine"].startswith("a first night takes about ")
    assert not (load_settings().state / "artifacts").exists()


def put(*keys: Any, value: Any) -> Callable[[Content], object]:
    """Make a change of one place of the recipe."""

    def change(content: Content) -> None:
        place: Any = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return change


def box(**changed: Any) -> Callable[[Content], object]:
    """Name an ONNX file as the teacher."""
    return put("teacher", value={"onnx": "model.onnx", "sha256": "0" * 64} | changed)


DEEP = {"name": "plain", "arguments": {"widths": [8] * 6, "strides": [2] * 6, "pool": 2}}
FINETUNE = {"training": {"epochs": 2, "batch_size": 64, "learning_rate": 0.01}}
QUICK = {
    "an unknown key": (put("stepz", value=[]), "recipe", "stepz"),
    "a misspelt workload": (put("workload", value="image_clasification"), "recipe", "image_classification"),
    "an unknown network": (put("teacher", "network", "name", value="resnext"), "recipe", "resnext"),
    "a wrong cron expression": (put("schedule", value="61 1 * * *"), "recipe", "schedule"),
    "resolutions of other epochs": (
        put("teacher", "training", "resolutions", value=[8, 8]),
        "recipe",
        "make them agree",
    ),
    "distillation of another workload": (
        put("steps", 0, "distillation", "kind", value="embedding"),
        "recipe",
        "embedding",
    ),
    "a gate that is no share": (put("gate", "quality", value=99), "recipe", "gate.quality"),
    "an unknown dataset": (put("data", "dataset", value="cats"), "data", "cats"),
    "an unknown revision": (put("data", "revision", value="v99"), "data", "v99"),
    "a missing ONNX file": (box(), "teacher", "model.onnx"),
}
SLOW = {
    "a network too deep for the pictures": (put("steps", 0, "network", value=DEEP), "step_1_distil", "size"),
    "a learning rate that diverges": (
        put("teacher", "training", "learning_rate", value=1e12), "teacher", "lower the learning rate",
    ),
    "a learning rate that learns nothing": (
        put("teacher", "training", "learning_rate", value=1e-12), "teacher", "the loss does not fall",
    ),
    "a layer that is not there for its inputs": (
        put("steps", 2, "float_inputs", value=["nowhere"]), "step_3_quantize", "nowhere"
    ),
    "a layer that is not there": (put("steps", 2, "keep_float", value=["nowhere"]), "step_3_quantize", "nowhere"),
    "more layers than there are": (
        put("steps", 1, value={"method": "drop_layers", "layers": 50, "finetune": FINETUNE}),
        "step_2_drop_layers", "50",
    ),
    "a target that no pruning reaches": (
        put("steps", 1, value={"method": "prune_structured", "bytes": 1, "finetune": FINETUNE}),
        "step_2_prune_structured", "1 byte",
    ),
    "features of no layer": (
        put("steps", 0, "distillation", "features", value={"teacher": "nowhere", "student": "nowhere"}),
        "step_1_distil", "nowhere",
    ),
    "a gate that no student reaches": (put("gate", "bytes", value=1_000_000), "gate", "gate.bytes asks for 1e"),
}  # fmt: skip


@pytest.mark.parametrize("case", QUICK)
def test_a_mistake_is_found_at_once(house: Settings, case: str) -> None:
    """A mistake in the recipe or in what it names ends the check with one sentence that names it."""
    expect_fault(findings(house, QUICK[case][0]), *QUICK[case][1:])


@pytest.mark.long
@pytest.mark.parametrize("case", SLOW)
def test_a_mistake_is_found_in_the_rehearsal(house: Settings, case: str) -> None:
    """A mistake that only running shows is found on the excerpt, at the stage that has it."""
    expect_fault(findings(house, SLOW[case][0]), *SLOW[case][1:])


def expect_fault(found: list[Finding], check: str, word: str) -> None:
    *sound, last = found
    assert [each.fault for each in sound] == [None] * len(sound)
    assert last.check == check, last
    assert last.fault is not None
    assert word in last.fault
    assert "\n" not in last.fault.strip()


def leak(dataset: Path) -> None:
    """Put a training picture into the gate, too, in the shard and in the manifest."""
    shard, manifest = pq.read_table(dataset / "gate-000.parquet"), pq.read_table(dataset / "manifest.parquet")
    image = pq.read_table(dataset / "train-000.parquet")["image"][0].as_py()
    digests, splits = manifest["sha256"].to_pylist(), manifest["split"].to_pylist()
    pq.write_table(cell("image", 0, image)(shard), dataset / "gate-000.parquet")
    changed = cell("sha256", splits.index("gate"), digests[splits.index("train")])(manifest)
    pq.write_table(changed, dataset / "manifest.parquet")
    repin(dataset)


def emptied(dataset: Path) -> None:
    """Take every row out of the calibration split."""
    path, manifest = dataset / "calibration-000.parquet", pq.read_table(dataset / "manifest.parquet")
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    kept = [split != "calibration" for split in manifest["split"].to_pylist()]
    pq.write_table(manifest.filter(pa.array(kept)), dataset / "manifest.parquet")
    described = json.loads((dataset / "dataset.json").read_text("utf-8"))
    described["splits"]["calibration"] |= {"count": 0}
    (dataset / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    repin(dataset)


def bright(dataset: Path) -> None:
    """Give one picture a pixel above the range of the data."""
    shard = pq.read_table(dataset / "train-000.parquet")
    image = b"\xff" + shard["image"][0].as_py()[1:]
    pq.write_table(cell("image", 0, image)(shard), dataset / "train-000.parquet")
    repin(dataset)


@pytest.mark.parametrize(
    ("spoil", "check", "word"),
    [
        (leak, "splits", "1 examples are in gate and in train; take them out of one"),
        (emptied, "data", "the split calibration of digits is empty"),
        (bright, "data contract", "expectations: content"),
    ],
)
def test_a_mistake_in_the_data_is_found(house: Settings, spoil: Callable[[Path], None], check: str, word: str) -> None:
    """A leaked example, an empty split and a value out of range are found before the rehearsal."""
    dataset = house.root / "data" / "digits"
    shutil.copytree(dataset, house.root / "spoilt")
    spoil(house.root / "spoilt")
    shutil.rmtree(dataset)
    (house.root / "spoilt").rename(dataset)
    commit_house(house, "spoilt")
    expect_fault(findings(house), check, word)


def test_a_machine_that_is_too_small_is_told(house: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A night that needs more memory than is free is no surprise at 3 a.m."""
    monkeypatch.setattr(expect, "available_bytes", lambda: 2.0**20)
    with pytest.raises(check_module.StillhouseError, match=r"the night needs 8 MiB of memory and 1 MiB are free"):
        expect.expect_room(Estimate(1.0, 8 * 2.0**20))
    assert house.root.is_dir()
