"""Lines of text: their pictures, a student network, what a foreign recogniser is refused for, and the runtime."""

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from line_samples import HEIGHT, LETTERS, line_picture, write_recogniser
from onnx import TensorProto, helper
from PIL import Image

from stillhouse.models.augmentation.reprint import reprint
from stillhouse.models.data.written.lines import EMPTY, line_of
from stillhouse.models.distillation.frames import at_rate
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.registry import build_network
from stillhouse.models.onnx.recogniser import (
    LineForm,
    adopt_recogniser,
    characters_of,
    input_shape,
    kind_of,
    try_recogniser,
)
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.workloads.text_recognition.details import png_of
from stillhouse.models.workloads.transcripts.spelling import read_greedily

SHAPE = (3, HEIGHT, 128)
FORM = LineForm(127.5, 1.0, "RGB", "probabilities")


def encode(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def draw_lines(*texts: str) -> np.ndarray:
    return np.stack([line_of(encode(line_picture(text, seed)), SHAPE) for seed, text in enumerate(texts)])


@pytest.mark.parametrize(("size", "drawn"), [((24, 24), 48), ((96, 48), 96), ((10, 48), 10), ((400, 50), 128)])
def test_a_line_has_its_own_proportions_unless_it_is_too_wide(size: tuple[int, int], drawn: int) -> None:
    """What is left on its right is grey, which recognisers scale to 0."""
    noise = np.random.default_rng(1).integers(200, 256, (size[1], size[0], 3), dtype=np.uint8)
    line_CHW = line_of(encode(Image.fromarray(noise)), SHAPE)
    assert line_CHW.shape == SHAPE
    assert (line_CHW[:, :, drawn:] == EMPTY).all()
    assert (line_CHW[:, :, :drawn] != EMPTY).all()


def test_a_picture_of_one_colour_is_no_line() -> None:
    """The sentence says to leave it out."""
    with pytest.raises(
        ModelError, match="the picture shows nothing, as all of its pixels have one value; leave it out"
    ):
        line_of(encode(Image.new("RGB", (50, 50), "white")), SHAPE)


def test_an_adopted_recogniser_reads_raw_pixels_as_the_kept_letters(tmp_path: Path) -> None:
    """Its answers are the blank and the letters in the data's own order, and nothing else."""
    images, letters = draw_lines("bad", "face", "d b"), list(" abcdf")
    with pytest.raises(ModelError, match="cannot read 'x', which the texts have"):
        adopt_recogniser(write_recogniser(tmp_path / "rec.onnx"), tmp_path / "out.onnx", FORM, ["a", "x"], images)
    adopt_recogniser(tmp_path / "rec.onnx", tmp_path / "out.onnx", FORM, letters, images)
    logits_NFV = predict(open_session(tmp_path / "out.onnx"), images)
    assert logits_NFV.shape == (3, 16, 7)
    assert [read_greedily(logits_FV, letters) for logits_FV in logits_NFV] == ["bad", "fac", "d b"]


def test_a_recogniser_that_answers_otherwise_than_the_recipe_says_is_refused(tmp_path: Path) -> None:
    """The sentence names the key."""
    form = LineForm(127.5, 1.0, "RGB", "logits")
    with pytest.raises(ModelError, match="answers with probabilities, not with logits; set output to probabilities"):
        adopt_recogniser(write_recogniser(tmp_path / "rec.onnx"), tmp_path / "out", form, ["a"], draw_lines("bad"))


@pytest.mark.parametrize(
    ("characters", "sentence"),
    [
        (None, "rec.onnx does not name its characters; give a file with one character a line by --characters"),
        ("abc", "rec.onnx has 8 outputs a frame, and 3 characters with one blank need 4; give the list"),
    ],
)
def test_characters_must_fit_the_outputs(tmp_path: Path, characters: str | None, sentence: str) -> None:
    """Each sentence names the flag."""
    with pytest.raises(ModelError, match=sentence):
        characters_of(write_recogniser(tmp_path / "rec.onnx", characters))


@pytest.mark.parametrize("characters", [LETTERS, LETTERS.strip()])
def test_a_space_that_the_list_lacks_is_the_last_output(tmp_path: Path, characters: str) -> None:
    """PaddleOCR adds the space to the list when it reads it."""
    assert characters_of(write_recogniser(tmp_path / "rec.onnx", characters)) == list(LETTERS)


def test_a_file_that_answers_with_classes_is_no_recogniser(tmp_path: Path) -> None:
    """The sentence says what is wanted."""
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)]
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, HEIGHT, "w"])]
    ends.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3]))
    graph = helper.make_graph(nodes, "classes", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "rec.onnx")
    with pytest.raises(
        ModelError, match=r"answers lines with \(1, 3\), not \(1, frames, characters\), so it is no reco"
    ):
        try_recogniser(tmp_path / "rec.onnx", FORM, draw_lines("bad"))


def test_a_recogniser_without_weights_is_refused(tmp_path: Path) -> None:
    """It answers every line alike."""
    path = write_recogniser(tmp_path / "rec.onnx", dead=True)
    with pytest.raises(ModelError, match="answers every line alike; export it again with its trained weights"):
        kind_of(try_recogniser(path, FORM, draw_lines("bad", "face")), path)


def test_a_recogniser_says_which_lines_it_takes(tmp_path: Path) -> None:
    """A size of 0 is one that the file leaves open."""
    assert input_shape(write_recogniser(tmp_path / "rec.onnx")) == (3, HEIGHT, 0)


def test_a_student_gives_letters_for_each_frame() -> None:
    """The strides over the width decide how many frames there are."""
    arguments = {"letters": 8, "widths": [4, 4, 8], "down": [2, 2, 4], "across": [2, 2, 1], "rows": 3}
    network = build_network("line_reader", arguments | {"context": [8, 8], "kernel": 3}, 50.0, EMPTY)
    assert network(torch.zeros(2, *SHAPE)).shape == (2, 32, 8)


@pytest.mark.parametrize(("frames", "places"), [(4, [0, 1, 2, 3]), (8, [0, 0, 1, 1, 2, 2, 3, 3]), (2, [1, 3])])
def test_a_teacher_of_another_rate_is_asked_for_its_nearest_frames(frames: int, places: list[int]) -> None:
    """A frame of the student takes the answer of the teacher's frame around its middle."""
    teacher_BFV = torch.arange(4.0)[None, :, None]
    assert at_rate(teacher_BFV, frames).flatten().tolist() == places


def test_another_view_of_a_line_is_as_large_and_differs() -> None:
    """It is raw pixels, and depends on the seed only."""
    images = torch.from_numpy(draw_lines("bad", "face"))
    one, same, other = (reprint(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert (one.dtype, one.shape) == (torch.uint8, images.shape)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_line_survives_a_png_file() -> None:
    """A served model gets the pixels that the data has."""
    line_CHW = draw_lines("bad")[0]
    assert np.array_equal(line_of(png_of(line_CHW), SHAPE), line_CHW)
