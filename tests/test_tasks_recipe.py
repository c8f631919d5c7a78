"""Recipes: the shipped ones load, and every fault is named with its key."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from stillhouse.models.networks.registry import NETWORKS
from stillhouse.tasks.errors import RecipeError
from stillhouse.tasks.pipeline.graph import stages_of, upstream_of
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.recipe.teacher import BlackBox

RECIPES = Path(__file__).resolve().parent.parent / "dags" / "recipes"
LESSON = {"training": {"epochs": 1, "batch_size": 50, "learning_rate": 0.1}}
TOWER = {"name": "plain_encoder", "arguments": {"dimension": 8, "widths": [8], "strides": [2], "pool": 4}}
SHIPPED = sorted(RECIPES.glob("*.yaml"))


def write(folder: Path, *changes: tuple[str, Any]) -> Path:
    """Write the seed recipe with some dotted keys changed."""
    content = yaml.safe_load((RECIPES / "seed_digits.yaml").read_text(encoding="utf-8"))
    for key, value in changes:
        *path, last = key.split(".")
        place = content
        for name in path:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    target = folder / "seed_digits.yaml"
    target.write_text(yaml.safe_dump(content), encoding="utf-8")
    return target


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_loads(path: Path) -> None:
    """Every recipe in dags/recipes fits the schema, names known networks and starts with a comment."""
    recipe = load_recipe(path)
    networks = [*recipe.teacher.networks.values(), *(step.network for step in recipe.steps if step.method == "distil")]
    assert {network.name for network in networks} <= set(NETWORKS)
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_the_stages_follow_the_recipe() -> None:
    """Stages run from pull to report with one stage per step, each reading only what comes before it."""
    stages = stages_of(load_recipe(RECIPES / "image_classification_hour.yaml"))
    names = [stage.name for stage in stages]
    assert names == [
        *("pull", "validate", "teacher", "step_1_distil", "step_2_quantize", "step_3_pack"),
        *("export", "evaluate", "gate", "compare_champion", "load_test", "final_test", "register", "report"),
    ]
    for position, stage in enumerate(stages):
        assert set(stage.inputs.values()) <= set(names[:position])


SIDE_BY_SIDE: dict[str, tuple[list[tuple[str, str | None]], dict[str, set[str]]]] = {
    "one component": (
        [("distil", "image"), ("pack", "image")],
        {
            "step_1_distil_image": {"teacher"},
            "step_2_pack_image": {"step_1_distil_image"},
            "export": {"step_2_pack_image"},
        },
    ),
    "two components": (
        [("distil", "image"), ("distil", "text"), ("pack", "image")],
        {
            "step_1_distil_image": {"teacher"},
            "step_2_distil_text": {"teacher"},
            "step_3_pack_image": {"step_1_distil_image"},
            "join": {"step_3_pack_image", "step_2_distil_text"},
            "export": {"join"},
            "report": {"register", "step_3_pack_image", "step_2_distil_text"},
        },
    ),
    "a joint step between": (
        [("distil", "image"), ("distil", "text"), ("quantize", None), ("pack", "image"), ("pack", "text")],
        {
            "join": {"step_1_distil_image", "step_2_distil_text"},
            "step_3_quantize": {"join"},
            "step_4_pack_image": {"step_3_quantize"},
            "step_5_pack_text": {"step_3_quantize"},
            "join_2": {"step_4_pack_image", "step_5_pack_text"},
            "export": {"join_2"},
        },
    ),
}


@pytest.mark.parametrize("case", SIDE_BY_SIDE)
def test_components_are_compressed_side_by_side(case: str) -> None:
    """A step waits for its own component only; a joint step and the export wait for all; each order can run."""
    steps, expected = SIDE_BY_SIDE[case]
    recipe = load_recipe(RECIPES / "image_text_retrieval.yaml")
    chosen = tuple(SimpleNamespace(method=method, component=component) for method, component in steps)
    stages = stages_of(recipe.model_copy(update={"steps": chosen}))
    after = upstream_of(stages)
    assert {name: set(after[name]) for name in expected} == expected
    names = [stage.name for stage in stages]
    assert all(names.index(each) < place for place, name in enumerate(names) for each in after[name])


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("teachr", {}, r"teachr: Extra inputs are not permitted"),
        ("teacher.training.epoch", 3, r"teacher\.training\.epoch: Extra inputs are not permitted"),
        ("teacher.training.epochs", 0, r"teacher\.training\.epochs: Input should be greater than or equal to 1"),
        ("teacher.training.learning_rate", "fast", r"teacher\.training\.learning_rate: Input should be a valid number"),
        ("teacher.training.resolutions", [8], r"teacher\.training: .*resolutions lists 1 epochs, epochs says 12"),
        ("steps", [], r"steps: Tuple should have at least 1 item"),
        ("steps.0.method", "magic", r"steps\.0: Input tag 'magic' found using 'method' does not match"),
        ("steps.1.sparsity", 1.5, r"steps\.1\.prune_unstructured\.sparsity: Input should be less than 1"),
        (
            "steps.0.distillation.training.augment",
            True,
            r"a student sees the views its teacher answered: set augmented",
        ),
        ("steps.0.distillation.training.erase", True, r"a student sees the views its teacher answered: set aug"),
        (
            "steps.0.distillation.mixup_views",
            2,
            r"a blend of two examples has no label: set hard_weight to 0, or leave",
        ),
        ("steps.0.distillation.views", 2, r"steps\.0\.distil\.distillation\.views: it is called augmented_views now"),
        ("steps.0.tower", "image", r"steps\.0\.distil\.tower: it is called component now"),
        ("gate.old_index", 0.9, r"gate\.old_index: it is called comparisons: \{backward_compatibility: \.\.\.\} now"),
        ("worth", {}, r"worth: it is called keep_step_if now"),
        ("steps.2.weights", "int7", r"steps\.2\.quantize\.weights: Input should be 'int8', 'int6', 'int5', 'int4'"),
        ("data.revision", "--upload-pack=x", r"data\.revision: String should match pattern"),
        ("latency.max_repeats", 2, r"latency\.max_repeats is below latency\.repeats; raise max_repeats"),
        (
            "workload",
            "image_clasification",
            r"there is no workload '.*'; did you mean image_classification\? use one of",
        ),
        ("workload", "retreival", r"workload: there is no workload 'retreival'; did you mean retrieval\? use one of"),
        (
            "workload",
            "video",
            r"there is no workload 'video'; use one of image_classification, text_classification, text_embedding, ",
        ),
        ("steps.0.distillation.cosine_weight", 1, r"distillation\.cosine_weight: Extra inputs are not permitted"),
        (
            "steps.0.distillation.kind",
            "embedding",
            r"step 1, distil: the model of workload image_class",
        ),
        (
            "steps.0.distillation.kind",
            "own",
            r"there is no kind 'own' that takes hard_weight, temperature; use logits, embedding, ctc",
        ),
        ("name", "other", r"calls itself 'other'; give the file and the recipe one name"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, key: str, value: object, sentence: str) -> None:
    """A wrong, missing or unknown key is refused in one sentence that names it."""
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(write(tmp_path, (key, value)))


BLACK_BOX = {"onnx": "models/teacher.onnx", "sha256": "0" * 64}


def test_a_black_box_is_asked_or_rounded(tmp_path: Path) -> None:
    """A teacher known only as an ONNX file can teach, and its file can be quantized without training."""
    assert load_recipe(write(tmp_path, ("teacher", BLACK_BOX))).teacher == BlackBox(**BLACK_BOX)
    load_recipe(write(tmp_path, ("teacher", BLACK_BOX), ("steps", [{"method": "quantize"}])))


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ([{"method": "prune_unstructured", "sparsity": 0.5}], "prune_unstructured cannot change .*; begin with distil"),
        (
            [{"method": "quantize", "distillation": LESSON}],
            "quantize cannot change a teacher known only as an ONNX",
        ),
        ([{"method": "quantize", "weights": "int4"}], "begin with distil, or with a quantize of int8"),
        ([{"method": "quantize"}, {"method": "pack"}], "pack cannot follow the quantize of an ONNX file"),
    ],
)
def test_a_black_box_is_not_changed_otherwise(tmp_path: Path, steps: list[dict[str, object]], sentence: str) -> None:
    """No module of it is known."""
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(write(tmp_path, ("teacher", BLACK_BOX), ("steps", steps)))


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        ({"method": "prune_unstructured"}, "give sparsity or pattern"),
        ({"method": "prune_unstructured", "sparsity": 0.5, "pattern": "2:4"}, "give sparsity or pattern"),
        ({"method": "prune_unstructured", "sparsity": 0.5, "measure": "movement"}, "movement .*: give finetune"),
        ({"method": "prune_structured", "finetune": LESSON}, "give macs, bytes or milliseconds"),
        ({"method": "prune_structured", "macs": 0.5, "bytes": 9, "finetune": LESSON}, "give macs, bytes or mill"),
        ({"method": "low_rank", "energy": 1.5, "finetune": LESSON}, "energy: Input should be less than 1"),
    ],
)
def test_a_step_without_one_clear_target_is_refused(tmp_path: Path, step: dict[str, Any], sentence: str) -> None:
    """A step that leaves its amount open, or gives two, is refused with the choice there is."""
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(write(tmp_path, ("steps", [step])))


def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path) -> None:
    """A missing file, and one that is not YAML, are refused with the path and the remedy."""
    (tmp_path / "broken.yaml").write_text("name: [", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"broken\.yaml is not YAML .*mend that line"):
        load_recipe(tmp_path / "broken.yaml")
    with pytest.raises(RecipeError, match=r"none\.yaml cannot be read .*name a file of dags/recipes/"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps.0.component": None}, "step 1, distil, names no component; this teacher has image and text"),
        (
            {"steps.0.component": "speech"},
            "step 1, distil, names the component speech; this teacher has image",
        ),
        ({"steps.2.weights": "int8"}, "step 3, quantize, names no component; this teacher has image and text"),
        ({"steps.2.keep_float": ["1.head"]}, "step 3, quantize, names no component"),
        ({"teacher.components": {"image": TOWER}}, "the teacher has no text; a model for retrieval needs image, text"),
        ({"teacher.components.smell": TOWER}, "a model for retrieval has no smell; it has image, text, speech; mend"),
        ({"teacher.network": TOWER}, "give network, for a model of one component, or components, one of the two"),
        (
            {"workload": "image_classification"},
            "a model for image_classification has no image and no text",
        ),
        ({"steps.0.distillation.kind": "logits"}, r"distillation\.cosine_weight: Extra inputs are not permitted"),
        (
            {"steps.0.distillation.kind": "ctc", "steps.0.distillation.ctc_kl_weight": 1},
            "step 1, distil: the component image of workload retrieval cannot learn by ctc; set .* kind embedding",
        ),
        ({"teacher.components.image.nme": "x"}, r"teacher\.components\.image\.nme: Extra inputs are not permitted"),
    ],
)
def test_components_are_named_where_there_are_several(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    """A step without its component, an unknown one, and one that cannot learn so are refused by name."""
    content = yaml.safe_load((RECIPES / "retrieval_small.yaml").read_text(encoding="utf-8"))
    for key, value in changes.items():
        *way, last = key.split(".")
        place = content
        for name in way:
            place = place[int(name) if name.isdigit() else name]
        place[last] = value
    (tmp_path / "retrieval_small.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(RecipeError, match=sentence):
        load_recipe(tmp_path / "retrieval_small.yaml")
