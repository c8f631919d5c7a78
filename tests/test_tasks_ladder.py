"""The ladder of `stillhouse compress`: goals, rungs, recipes, verdict, and a climb on a small encoder."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from encoder_folders import write_encoder
from text_samples import sentences

from stillhouse.tasks.data.importing.wanted import Wanted
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.ladder.climb import Ladder, Skipped, _chosen_before, _climb_one, _useless, _write
from stillhouse.tasks.ladder.compress import Order, compress, estimate
from stillhouse.tasks.ladder.families.picture_rungs import Pictures, rungs_for_file, rungs_for_module
from stillhouse.tasks.ladder.families.rungs import learn_classes, learn_vectors, rungs_for_text
from stillhouse.tasks.ladder.goals import Goals, parse_goals
from stillhouse.tasks.ladder.names import name_of
from stillhouse.tasks.ladder.pace import Pace
from stillhouse.tasks.ladder.recipes import Model, write_recipe
from stillhouse.tasks.ladder.under_way import end, is_under_way
from stillhouse.tasks.ladder.verdict import Point, choose, is_best, say_verdict, shortfalls
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.rehearsal.estimate import epochs_of
from stillhouse.tasks.targets.targets import TARGETS

GOALS = Goals(0.99, 4.0, 2.0, 20.0)


def point(rung: str, quality: float, smaller: float, faster: float, verdict: str = "FAIL") -> Point:
    """A point with narrow intervals."""
    near = 0.01
    return Point(
        rung,
        rung,
        verdict,  # type: ignore[arg-type]
        quality,
        (quality - near, quality + near),
        smaller,
        faster,
        (faster - near, faster + near),
        1_000_000,
        3.0,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("99%", "4x", "2x", 20), Goals(0.99, 4.0, 2.0, 20)),
        (("100 %", "1X", "1.5\N{MULTIPLICATION SIGN}", 0.5), Goals(1.0, 1.0, 1.5, 0.5)),
    ],
)
def test_goals_are_read_as_people_write_them(given: tuple[str, str, str, float], expected: Goals) -> None:
    """With or without a space, a small or a capital x."""
    assert parse_goals(*given) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("0.99", "4x", "2x", 20), r"--keep 0\.99 is not in the form of 99%"),
        (("101%", "4x", "2x", 20), r"--keep 101% is no share of the teacher's quality"),
        (("0%", "4x", "2x", 20), r"--keep 0% is no share"),
        (("99%", "4", "2x", 20), r"--smaller 4 is not in the form of 4x"),
        (("99%", "0x", "2x", 20), r"--smaller 0x is out of reach"),
        (("99%", "4x", "-2x", 20), r"--faster -2x is not in the form of 4x|--faster -2x is not in the form of 2x"),
        (("99%", "4x", "9999999x", 20), r"--faster 9999999x is out of reach"),
        (("99%", "4x", "2x", 0), r"--minutes 0 is no time to search"),
        (("99%", "4x", "2x", float("nan")), r"--minutes nan is no time to search"),
    ],
)
def test_a_goal_that_cannot_be_is_refused(given: tuple[str, str, str, float], message: str) -> None:
    """The sentence names the flag and a form that is right."""
    with pytest.raises(StillhouseError, match=message):
        parse_goals(*given)


@pytest.mark.parametrize(
    ("model", "name"),
    [("./all-MiniLM-L6-v2", "all_minilm_l6_v2"), ("x/7 days!", "model_7_days"), ("Größe", "gr_e"), ("...", "model")],
)
def test_a_model_has_a_name_that_a_recipe_can_have(tmp_path: Path, model: str, name: str) -> None:
    """Small letters, digits and underscores."""
    assert name_of(tmp_path / "deep" / model if model != "..." else tmp_path / "___") == name


@pytest.mark.parametrize("depth", [1, 2, 3, 6, 12, 24])
def test_every_rung_of_a_model_of_texts_is_a_valid_recipe(tmp_path: Path, depth: int) -> None:
    """No rung drops as many blocks as there are."""
    teacher, data = {"folder": "/x", "sha256": "0" * 64}, {"dataset": "d", "sha256": "1" * 64}
    for workload, learn in (("text_embedding", learn_vectors), ("text_classification", learn_classes(900))):
        model = Model("mine", workload, teacher, data)
        for rung in rungs_for_text(depth, learn):
            recipe = load_recipe(write_recipe(tmp_path / workload / rung.name, model, rung, 3, GOALS, ("a line",)))
            assert recipe.gate.bytes == 4.0
            for step in recipe.steps:
                assert getattr(step, "layers", 0) < depth


@pytest.mark.parametrize("side", [8, 28, 32, 33, 64, 224])
@pytest.mark.parametrize("examples", [60, 50_000])
def test_every_student_of_pictures_is_a_valid_recipe_whose_network_takes_the_pictures(
    tmp_path: Path, side: int, examples: int
) -> None:
    """The last map of a plain network is as large as its pooling."""
    import torch

    from stillhouse.models.networks.registry import build_network

    pictures, data = Pictures(3, side, 5, examples), {"dataset": "d", "sha256": "1" * 64}
    for kind, rungs in (("onnx", rungs_for_file(pictures)), ("folder", rungs_for_module(pictures))):
        model = Model("mine", "image_classification", {kind: "/x", "sha256": "0" * 64}, data)
        for rung in rungs:
            recipe = load_recipe(write_recipe(tmp_path / kind / rung.name, model, rung, 3, GOALS, ()))
            network = getattr(recipe.steps[0], "network", None)
            if network:
                module = build_network(network.name, network.arguments, 1.0).eval()
                assert module(torch.zeros(1, 3, side, side)).shape == (1, 5)


@pytest.mark.parametrize("epochs", [1, 7, 31])
def test_the_longest_training_of_a_rung_has_the_given_epochs(tmp_path: Path, epochs: int) -> None:
    """An interrupted climb reads its epochs back from the recipe."""
    pictures, data = Pictures(3, 32, 5, 900), {"dataset": "d", "sha256": "1" * 64}
    text, image = "text_embedding", "image_classification"
    ladders = (
        (text, rungs_for_text(6, learn_vectors)),
        (image, rungs_for_module(pictures)),
        (image, rungs_for_file(pictures)[1:]),
    )
    for number, (workload, rungs) in enumerate(ladders):
        model = Model("mine", workload, {"folder": "/x", "sha256": "0" * 64}, data)
        for rung in (rung for rung in rungs if rung.trained):
            path = write_recipe(tmp_path / str(number) / rung.name, model, rung, epochs, GOALS, ())
            assert max(epochs_of(load_recipe(path)).values()) == epochs


def test_the_first_rung_that_passes_is_chosen() -> None:
    """A later rung may be smaller, but the milder one is enough."""
    points = [point("a", 1, 3, 2), point("b", 0.99, 4, 2, "PASS"), point("c", 0.99, 9, 9, "PASS")]
    assert choose(points, GOALS).rung == "b"


def test_the_nearest_rung_is_chosen_if_none_passes() -> None:
    """Nearness is the sum of what is missed, as ratios."""
    points = [point("a", 0.99, 2, 2), point("b", 0.97, 4, 2), point("c", 0.5, 9, 9)]
    assert choose(points, GOALS).rung == "b"
    assert shortfalls(points[0], GOALS) == pytest.approx({"quality": 0, "bytes": 0.693, "latency": 0}, abs=1e-3)


def test_a_point_is_best_if_no_other_is_as_good_in_all() -> None:
    """Equal points do not beat each other."""
    points = [point("a", 0.9, 4, 2), point("b", 0.9, 4, 2), point("c", 0.8, 4, 2), point("d", 0.8, 9, 1)]
    assert [is_best(each, points) for each in points] == [True, True, False, True]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            point("int8", 0.995, 4, 2.5, "PASS"),
            r"^PASS: int8: keeps 99\.50 % \(98\.50 % to 100\.50 %\) of accuracy, 4",
        ),
        (
            point("int8", 0.995, 3.9, 2.5),
            r"^FAIL: nearest is .*; what binds is --smaller 4.* relax it to --smaller 3\.9x$",
        ),
        (point("int8", 0.5, 3.9, 2.5), r"what binds is --keep 99 % \(50\.00 % here\).* relax it to --keep 49%$"),
        (point("int8", 0.995, 4, 1.0), r"what binds is --faster 2.* relax it to --faster 0\.9x$"),
        (point("int8", 0.995, 4, 2.0, "UNDECIDED"), r"^UNDECIDED: .*the measurements do not decide"),
    ],
)
def test_the_verdict_names_the_limit_that_binds(found: Point, said: str) -> None:
    """One line, with what to relax."""
    assert re.search(said, say_verdict(found, GOALS, "accuracy"))


@pytest.mark.parametrize(("minutes", "epochs"), [(1.0, 0), (3.0, 1), (12.0, 10), (1000.0, 60)])
def test_the_epochs_fit_into_the_minutes(minutes: float, epochs: int) -> None:
    """What is fixed is taken off first."""
    assert Pace(1.0, 2.0, 0.0).epochs_within(minutes) == epochs


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("STATE", "RUNS"):
        monkeypatch.setenv(f"STILLHOUSE_{name}", str(tmp_path / name.lower()))
    return tmp_path


def order_in(house: Path, goals: Goals) -> Order:
    """A small encoder with 400 texts."""
    texts = house / "texts.txt"
    texts.write_text("\n".join(sentences(400)), encoding="utf-8")
    folder = write_encoder(house / "encoder", sentences(400))
    data = Wanted("encoder", str(texts), (3, 32, 32), "CC0", "text-embedding")
    return Order("encoder", folder, None, data, goals, house / "compressed")


@pytest.mark.serial
def test_a_climb_stops_at_the_goals_and_leaves_a_bundle_a_report_and_a_recipe(house: Path) -> None:
    """The recipe is whole, and its run is done already."""
    said = list[str]()
    verdict = compress(order_in(house, Goals(0.3, 1.5, 0.1, 5.0)), said.append)
    made = house / "compressed" / "encoder"
    assert verdict.startswith("PASS: int8, calibrated: keeps ")
    assert "agreement with the teacher" in verdict
    assert json.loads((made / "ladder.json").read_text())["chosen"] == "int8"
    assert json.loads((made / "bundle" / "bundle.json").read_text())["workload"] == "text_embedding"
    assert (made / "bundle" / "tokenizer.json").is_file()
    assert verdict.split(":")[1].strip() in (made / "report.html").read_text()
    assert (made / "rungs" / "int8.html").is_file()
    recipe = made / "recipes" / "encoder.yaml"
    assert yaml.safe_load(recipe.read_text())["gate"] == {"quality": 0.3, "bytes": 1.5, "latency": 0.1}
    assert any(line.startswith("assumed: quality is the share") for line in said)


@pytest.mark.long
@pytest.mark.serial
def test_the_chosen_student_goes_out_to_a_target(house: Path) -> None:
    """The verdict and the report say its bytes, agreement and time there, and its files lie beside the bundle."""
    order = replace(order_in(house, Goals(0.3, 1.5, 0.1, 5.0)), target="openvino")
    verdict = compress(order, lambda _: None)
    made = house / "compressed" / "encoder"
    assert "; in OpenVINO: " in verdict
    found = json.loads((made / "ladder.json").read_text())["target"]["converted"]
    assert found["components"]["model"]["agreement"] > 0.9
    assert (made / "openvino" / "model.xml").is_file()
    assert "The student in OpenVINO" in (made / "report.html").read_text()


def test_a_target_that_takes_nothing_of_a_model_is_told_first(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the targets that take it. No data is imported and nothing is installed."""
    monkeypatch.setitem(TARGETS, "small", replace(TARGETS["openvino"], name="small", takes={}))
    order = order_in(house, GOALS)
    for target, words in (
        ("small", r"takes no student of this model \(text_embedding\); use --target onnxruntime or openvino"),
        ("tensorrt", r"there is no target 'tensorrt'; use onnxruntime, openvino"),
    ):
        with pytest.raises(StillhouseError, match=words):
            compress(replace(order, target=target), pytest.fail)
    assert not (house / "state").exists()


@pytest.mark.long
@pytest.mark.serial
def test_a_climb_that_reaches_no_goal_names_the_nearest_point(house: Path) -> None:
    """Every rung is tried, and what binds is said."""
    verdict = compress(order_in(house, Goals(0.2, 90.0, 0.1, 6.0)), lambda _: None)
    assert "what binds is --smaller 90" in verdict
    points = json.loads((house / "compressed" / "encoder" / "ladder.json").read_text())["points"]
    assert [each["rung"] for each in points] == ["int8", "int8_trained", "few_bits", "minus_1_blocks", "minus_2_blocks"]
    assert all(each["bytes"] > 1.5 for each in points)


def test_an_interrupted_climb_is_known_by_its_order(tmp_path: Path) -> None:
    """Another order removes the recipes of the first one."""
    work = tmp_path / "work"
    assert not is_under_way(work, "a")
    (work / "1_int8").mkdir()
    assert is_under_way(work, "a")
    assert (work / "1_int8").is_dir()
    assert not is_under_way(work, "b")
    assert not (work / "1_int8").exists()
    end(work)
    assert not is_under_way(work, "b")


def test_a_climb_that_goes_on_keeps_its_epochs(tmp_path: Path) -> None:
    """Only then the training goes on from its checkpoint, because the epochs are a part of its key."""
    model = Model("mine", "text_embedding", {"folder": "/x", "sha256": "0" * 64}, {"dataset": "d", "sha256": "1" * 64})
    rungs = rungs_for_text(6, learn_vectors)
    ladder = Ladder(model, rungs, GOALS, tmp_path, tmp_path / "work", ())
    _write(ladder, 1, rungs[1], 7)
    assert [_chosen_before(replace(ladder, resumed=on), 1, rungs[1]) for on in (False, True)] == [0, 7]
    assert _chosen_before(replace(ladder, resumed=True), 2, rungs[2]) == 0


def test_no_rung_begins_after_the_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither without time, nor if one epoch needs more than is left."""
    monkeypatch.setattr("stillhouse.tasks.ladder.climb._pace", lambda *_: Pace(8.0, 2.0, 0.0))
    model = Model("mine", "text_embedding", {"folder": "/x", "sha256": "0" * 64}, {"dataset": "d", "sha256": "1" * 64})
    ladder = Ladder(model, rungs_for_text(6, learn_vectors), GOALS, tmp_path, tmp_path / "work", ())
    for left, reason in ((0.0, "the minutes are over"), (9.0, "takes about 10 minutes and 9 are left")):
        found = _climb_one(ladder, 1, ladder.rungs[1], left, lambda _: None)
        assert isinstance(found, Skipped)
        assert found.reason.endswith(reason)


@pytest.mark.parametrize(
    ("number", "kept", "skipped"),
    [
        (0, {}, False),
        (1, {}, False),
        (1, {"int8": 0.98}, False),
        (1, {"int8": 0.99}, True),
        (2, {"int8": 0.99}, False),
    ],
)
def test_quality_is_not_regained_where_none_is_missing(
    tmp_path: Path, number: int, kept: dict[str, float], *, skipped: bool
) -> None:
    """Int8 with training has the bytes and the time of plain int8, so it is skipped if that keeps enough."""
    model = Model("mine", "image_classification", {}, {})
    ladder = Ladder(model, rungs_for_module(Pictures(1, 28, 10, 1000)), GOALS, tmp_path, tmp_path, ())
    assert (_useless(ladder, ladder.rungs[number], kept) is not None) is skipped


def test_a_dry_run_writes_the_recipes_and_compresses_nothing(house: Path) -> None:
    """Each line has the time and the memory of a rung."""
    lines = estimate(order_in(house, Goals(0.9, 4.0, 2.0, 5.0)), lambda _: None)
    assert "int8, calibrated: a few minutes, without training" in lines
    assert sum("epochs of the longest training: " in line for line in lines) == 4
    assert len(list((house / "state" / "ladders" / "encoder").glob("[0-9]_*/encoder.yaml"))) == 5
    assert not (house / "compressed").exists()


def test_a_task_without_a_ladder_is_named(house: Path) -> None:
    """The sentence lists the tasks that have one."""
    order = order_in(house, GOALS)
    with pytest.raises(StillhouseError, match="compress has no ladder for speech-recognition yet; it has"):
        compress(Order("encoder", order.model, "speech-recognition", order.data, GOALS, house), lambda _: None)
