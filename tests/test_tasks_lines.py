"""Import of lines of text, the ladder of a recogniser, and a climb from its ONNX file to a bundle that reads lines."""

from pathlib import Path

import numpy as np
import pytest
import torch
from data_samples import quiet
from import_samples import reasons_of, settings_of, write_csv
from line_samples import HEIGHT, LETTERS, line_picture, text_of, write_lines, write_recogniser

from stillhouse.models.data.description import describe
from stillhouse.models.data.written.lines import letters_of, load_lines
from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.source import find_source
from stillhouse.models.networks.registry import build_network
from stillhouse.models.onnx.import_teacher import FileModel
from stillhouse.models.onnx.recogniser import characters_of
from stillhouse.models.runtime.bundle import Bundle, open_bundle, write_bundle
from stillhouse.models.workloads.base import runtime_of
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.report_base import report_of
from stillhouse.models.workloads.text_recognition.details import png_of
from stillhouse.models.workloads.training_base import training_of
from stillhouse.tasks.data.importing.import_local import import_local
from stillhouse.tasks.data.importing.wanted import Imported, Wanted
from stillhouse.tasks.errors import DataError, StillhouseError
from stillhouse.tasks.ladder.compress import Order, compress
from stillhouse.tasks.ladder.families import family
from stillhouse.tasks.ladder.families.family import Family, family_of
from stillhouse.tasks.ladder.families.line_rungs import LineData, network_of, rungs_for_lines
from stillhouse.tasks.ladder.families.recogniser import with_characters
from stillhouse.tasks.ladder.goals import Goals
from stillhouse.tasks.ladder.recipes import Model, write_recipe
from stillhouse.tasks.recipe.recipe import load_recipe
from stillhouse.tasks.recipe.teacher import BlackBox
from stillhouse.tasks.teachers.black_box import adopt_file

TASK = "text-recognition"
WORKLOAD = "text_recognition"
GOALS = Goals(0.9, 8.0, 0.01, 1.0)
COUNT = 260


def import_lines(root: Path, source: Path, letters: str = LETTERS) -> Imported:
    return import_local(settings_of(root), Wanted("lines", source, (3, HEIGHT, 0), "CC0", TASK, letters=letters), quiet)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset of lines."""
    root = tmp_path_factory.mktemp("lines")
    write_lines(root / "own", COUNT)
    return settings_of(root).data_cache / import_lines(root, root / "own").digest


def family_for(lines: Path, recogniser: Path) -> Family:
    return family_of(find_source(recogniser), TASK, lines)


def adopted(lines: Path, folder: Path) -> FileModel:
    found = family_for(lines, write_recogniser(folder / "rec.onnx"))
    path = adopt_file(BlackBox.model_validate(dict(found.teacher)), lines, folder / "teacher.onnx", WORKLOAD)
    return FileModel(path)


def test_a_folder_of_pictures_with_text_files_becomes_lines(lines: Path) -> None:
    """The vocabulary is the characters of the texts, and the width fits 19 of 20 lines."""
    described = describe(lines)
    assert described["image_shape"] == [3, HEIGHT, 128]
    assert described["lines"] == {"letters": "".join(sorted(LETTERS)), "longest": 7}
    texts = {text for split in described["splits"] for text in load_lines(lines, split).texts}
    assert texts == {text_of(seed) for seed in range(COUNT)}


def test_a_picture_keeps_its_own_text(lines: Path, tmp_path: Path) -> None:
    """The recogniser reads what stands beside each picture."""
    score = training_of(WORKLOAD).scorer(lines, "gate")
    assert score({ALONE: adopted(lines, tmp_path)}) == 1.0


WRONG = {
    "": "it has no text; give it one",
    "  ": "the text is empty; give at least one character",
    "ba\u00df": "its text has '\u00df' (U+00DF), which the model cannot read; mend the text",
}
"""Text -> why its line is left out."""


def test_a_line_with_a_wrong_text_is_left_out_with_its_reason(tmp_path: Path) -> None:
    """The other lines of a table are imported."""
    table = write_lines(tmp_path / "own", COUNT)
    with table.open("a", encoding="utf-8") as stream:
        for number, text in enumerate(WRONG):
            line_picture("abc", 999 + number).save(tmp_path / "own" / f"wrong{number}.png")
            stream.write(f"own/wrong{number}.png,{text}\n")
    found = import_lines(tmp_path, table)
    assert sum(found.counts.values()) == COUNT
    assert list(reasons_of(found).values()) == list(WRONG.values())


def test_pictures_without_texts_are_refused(tmp_path: Path) -> None:
    """A text file must stand beside each of them."""
    write_lines(tmp_path / "own", 3)
    for path in (tmp_path / "own").glob("*.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"no pictures that can be used: .* text file 0000.txt is not there; give it"):
        import_lines(tmp_path, tmp_path / "own")


def test_a_table_without_a_column_of_texts_is_refused(tmp_path: Path) -> None:
    """The sentence names the flag."""
    table = write_csv(tmp_path / "lines.csv", [("path", "said", "by"), ("a.png", "abc", "me")])
    with pytest.raises(DataError, match="name the one with the texts by --text-column"):
        import_lines(tmp_path, table)


def test_how_a_recogniser_is_asked_is_found_and_told(lines: Path, tmp_path: Path) -> None:
    """The way with the fewest errors on the calibration split is taken."""
    found = family_for(lines, write_recogniser(tmp_path / "rec.onnx"))
    asked = {key: found.teacher[key] for key in ("scale", "offset", "colours", "output")}
    assert asked == {"scale": 127.5, "offset": 1.0, "colours": "RGB", "output": "probabilities"}
    assert found.assumed[0].startswith("the file takes RGB pixels divided by 127.5 minus 1 and gives probabilities: ")
    assert found.assumed[1].startswith("the student reads 7 of the file's 7 characters, those of your texts; to keep")
    assert [rung.name for rung in found.rungs] == ["int8", "deep_student", "plain_student", "small_student"]


def test_every_rung_is_a_recipe(lines: Path, tmp_path: Path) -> None:
    """A person can edit each of them and run it again."""
    found = family_for(lines, write_recogniser(tmp_path / "rec.onnx"))
    model = Model("mine", found.workload, found.teacher, {"dataset": "mine", "sha256": "1" * 64})
    for rung in found.rungs:
        recipe = load_recipe(write_recipe(tmp_path / rung.name, model, rung, 3, GOALS, ()))
        assert recipe.workload == WORKLOAD
        assert [step.method for step in recipe.steps] == (["distil", "quantize"] if rung.trained else ["quantize"])
        training_of(WORKLOAD).check(
            (ALONE,), {ALONE: [step.distillation for step in recipe.steps[1:]]} if rung.trained else {}
        )


def test_a_teacher_that_reads_wrongly_is_refused(lines: Path, tmp_path: Path) -> None:
    """Its characters come in another order, so it reads most of them wrongly."""
    path = write_recogniser(tmp_path / "rec.onnx", "bcdefa")
    with pytest.raises(
        StillhouseError, match=r"of the characters .* wrongly, however .* in its own order by --characte"
    ):
        family_for(lines, path)


@pytest.mark.parametrize(("width", "frames"), [(128, 16), (320, 40), (320, 80), (320, 79), (640, 160)])
@pytest.mark.parametrize("deep", [1, 2])
def test_a_student_has_at_least_the_frames_of_its_teacher(width: int, frames: int, deep: int) -> None:
    """A letter of the teacher cannot be lost between two frames of the student."""
    network = network_of(LineData(3, HEIGHT, width, frames, 100), (4, 4, 4, 4), deep)
    made = build_network(network["name"], network["arguments"] | {"letters": 5}, 1.0)
    found = made(torch.zeros(1, 3, HEIGHT, width)).shape[1]
    assert frames <= found < 2 * frames + 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"a\nbc\n", "line 2 of .* is not one character"), (b"\xff", "cannot be read as UTF-8")],
)
def test_a_list_of_characters_has_one_a_line(tmp_path: Path, content: bytes, sentence: str) -> None:
    """The sentence says where it has not."""
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(StillhouseError, match=sentence):
        with_characters(
            find_source(write_recogniser(tmp_path / "rec.onnx", None)), tmp_path / "list.txt", tmp_path / "to"
        )


def test_a_list_of_characters_is_written_into_a_copy(tmp_path: Path) -> None:
    """The recipe then names the copy."""
    (tmp_path / "list.txt").write_text("\n".join(LETTERS.strip()) + "\n")
    source = find_source(write_recogniser(tmp_path / "rec.onnx", None))
    copy = with_characters(source, tmp_path / "list.txt", tmp_path / "copies")
    assert characters_of(copy) == list(LETTERS)
    with pytest.raises(ModelError, match="does not name its characters"):
        characters_of(source.path)


def test_a_bundle_reads_pictures_and_is_judged_by_its_errors(lines: Path, tmp_path: Path) -> None:
    """Quality is 1 minus the character error rate, and the report marks the errors."""
    (tmp_path / "bundle").mkdir()
    adopted(lines, tmp_path)
    (tmp_path / "teacher.onnx").rename(tmp_path / "bundle" / "model.onnx")
    about = training_of(WORKLOAD).about(lines, tmp_path)
    assert about == {"letters": letters_of(lines)}
    write_bundle(tmp_path / "bundle", WORKLOAD, {ALONE: [tmp_path / "bundle" / "model.onnx"]}, **about)
    bundle, face = open_bundle(tmp_path / "bundle"), runtime_of(WORKLOAD)
    face.probe(bundle)
    split = face.load_split(lines, "gate")
    answers = face.ask(bundle, split)
    assert face.outcomes(split, answers, answers).scores.mean == 1.0
    assert face.serve(bundle, ())["image"]([png_of(split.images_NCHW[0])]) == [{"text": split.texts[0]}]
    assert face.call(bundle, face.one_request(lines, split))() == split.texts[0]
    wrong = [answers[0] + "a", *answers[1:]]
    assert face.comparisons(split, {"teacher": answers, "student": wrong}, 0.95)["fewer_character_errors"]["value"] < 0
    details = face.details(lines, {}, split, {"teacher": answers, "student": wrong})
    section = report_of(WORKLOAD).section(details, {}, None, None)
    assert section is not None
    assert f"{answers[0]}<ins>a</ins>" in section.values["examples"][0]["read"]["student"]
    page = _page(lines, bundle, tmp_path, png_of(split.images_NCHW[0]))
    assert f"<p>{split.texts[0]}</p>" in page


def _page(lines: Path, bundle: Bundle, folder: Path, picture: bytes) -> str:
    (folder / "asked.png").write_bytes(picture)
    return report_of(WORKLOAD).answer_queries(bundle, lines, [str(folder / "asked.png")], folder)


def test_a_student_is_asked_with_the_letters_of_its_teacher(lines: Path, tmp_path: Path) -> None:
    """Each view of each line has the teacher's answer in every frame."""
    component = training_of(WORKLOAD).component(ALONE, lines, tmp_path, tmp_path)
    teacher = adopted(lines, tmp_path)

    class Views:
        augmented_views = 2

    feed = component.distillation_batches(lambda images: (teacher(images),), 7, Views(), _Watcher())
    images_BCHW, letters_BL, teacher_BFV = next(iter(feed.epoch(0, 8)))
    assert images_BCHW.shape == (8, 3, HEIGHT, 128)
    assert teacher_BFV.shape == (8, 16, 8)
    assert letters_BL.shape == (8, 7)


class _Watcher:
    def progress(self, line: str) -> None:
        """Say nothing."""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("STATE", "RUNS"):
        monkeypatch.setenv(f"STILLHOUSE_{name}", str(tmp_path / name.lower()))
    return tmp_path


@pytest.mark.long
@pytest.mark.serial
def test_a_climb_leaves_a_student_that_reads_lines(house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle reads a line that nobody imported. Only the last rung is climbed."""
    monkeypatch.setattr(family, "rungs_for_lines", lambda lines: rungs_for_lines(lines)[-1:])
    write_lines(house / "own", COUNT)
    model = write_recogniser(house / "rec.onnx", None, heavy=True)
    (house / "list.txt").write_text("\n".join(LETTERS.strip()) + "\n")
    data = Wanted("lines", house / "own", (3, 32, 32), "CC0")
    order = Order("lines", model, TASK, data, GOALS, house / "compressed", characters=house / "list.txt")
    verdict = compress(order, quiet)
    assert verdict.startswith("PASS: a small plain student, int8 with training: keeps ")
    bundle = open_bundle(house / "compressed" / "lines" / "bundle")
    line = np.asarray(line_picture("fade bed", 5_000)).transpose(2, 0, 1)
    assert runtime_of(WORKLOAD).serve(bundle, ())["image"]([png_of(line)]) == [{"text": "fade bed"}]


def test_a_recogniser_in_a_folder_is_refused_before_the_import(house: Path) -> None:
    """The sentence says what is read."""
    folder = house / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      ")
    data = Wanted("lines", house / "nowhere", (3, 32, 32), "CC0")
    with pytest.raises(StillhouseError, match="recognisers of lines are read from ONNX; export it"):
        compress(Order("lines", folder, TASK, data, GOALS, house / "to"), quiet)
