"""Targets: which take what, what is told in words, and what is refused before anything is installed or written."""

from pathlib import Path

import numpy as np
import pytest
from data_samples import built_digits, built_emoji_small
from target_samples import HERE, write_classifier

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.training.checkpoint import Architecture, save_model
from stillhouse.models.workloads.base import runtime_of, spread
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.targets.convert import convert_to
from stillhouse.tasks.targets.inputs import raw_inputs
from stillhouse.tasks.targets.judged import Converted, Judged, mean_cosine, share_of_same_class
from stillhouse.tasks.targets.prepare import write_program
from stillhouse.tasks.targets.source import Source, open_source
from stillhouse.tasks.targets.targets import names_that_take, target_of


def test_an_unknown_target_is_named_with_those_that_there_are() -> None:
    """The sentence lists them."""
    with pytest.raises(StillhouseError, match=r"there is no target 'tensorrt'; use onnxruntime, openvino"):
        target_of("tensorrt")


def test_onnx_runtime_takes_every_student() -> None:
    """It is the first of the names, whatever the workload."""
    assert names_that_take("my_own", ["adopted"]) == ["onnxruntime"]
    assert names_that_take("text_embedding", ["adopted"]) == ["onnxruntime", "openvino"]
    assert names_that_take("image_classification", ["file"]) == ["onnxruntime", "openvino"]
    assert names_that_take("image_classification", ["named"]) == ["onnxruntime", "openvino", "executorch", "litert"]


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    """A folder that is not there, one without a bundle.json, and one whose file was altered."""
    with pytest.raises(ModelError, match=r"nothing is not there; name the folder of a bundle, such as compressed/NAME"):
        open_source(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"has no bundle\.json and no architecture\.json; name the folder of a bundle"):
        open_source(tmp_path)
    bundle = write_classifier(tmp_path / "b")
    (bundle / "model.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match="was altered since it was exported"):
        open_source(bundle)


def test_a_folder_with_files_is_left_as_it_is(tmp_path: Path) -> None:
    """Nothing is installed, written or deleted."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    source = open_source(write_classifier(tmp_path / "b"))
    with pytest.raises(StillhouseError, match="out is there already and not an empty folder; name a new one"):
        convert_to(target_of("openvino"), source, built_digits(), tmp_path / "out", HERE, pytest.fail)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_data_of_another_workload_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    """The sentence names the dataset."""
    source = open_source(write_classifier(tmp_path / "b"))
    with pytest.raises(StillhouseError, match="emoji_small"):
        convert_to(target_of("openvino"), source, built_emoji_small(), tmp_path / "out", HERE, pytest.fail)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["executorch", "litert"])
def test_a_bundle_is_not_enough_for_a_target_that_needs_the_network(tmp_path: Path, name: str) -> None:
    """The sentence says where the network is, and nothing is installed."""
    source = open_source(write_classifier(tmp_path / "b"))
    with pytest.raises(StillhouseError, match=f"{name} files are made of a checkpoint, and this model has only"):
        convert_to(target_of(name), source, built_digits(), tmp_path / "out", HERE, pytest.fail)
    assert not (tmp_path / "out").exists()


def test_texts_have_many_lengths_and_an_executorch_file_has_one(tmp_path: Path) -> None:
    """A checkpoint of a text encoder is refused before anything is installed."""
    arguments = {"buckets": 97, "width": 8, "hidden": 8, "dimension": 16}
    architecture = Architecture("ngram_encoder", arguments, 1.0, ())
    save_model(tmp_path / "text", architecture.build_seeded(1), architecture)
    source = Source(open_bundle(write_classifier(tmp_path / "b")), tmp_path)
    with pytest.raises(ModelError, match="takes inputs of one shape, and texts have many lengths; use another target"):
        write_program(source, "text", built_digits(), tmp_path)


def test_inputs_are_real_ones_of_the_gate_split_each_alone(tmp_path: Path) -> None:
    """Pictures come as they are in the dataset, spread over the split."""
    raws = raw_inputs(open_bundle(write_classifier(tmp_path / "b")), built_digits())["model"]
    images_NCHW = runtime_of("image_classification").load_split(built_digits(), "gate")[0].images_NCHW
    assert {raw.shape for raw in raws} == {(1, 1, 8, 8)}
    assert (raws[-1] == images_NCHW[-1:]).all()
    assert spread(5, 3) == [0, 2, 4]
    assert spread(2, 3) == [0, 1]


def test_agreement_is_counted_by_hand() -> None:
    """Classes agree or not; vectors agree by their cosine, and a vector of zeros agrees with nothing."""
    one = np.array([[1, 0], [0, 1], [3, 4]], np.float32)
    assert share_of_same_class(one, one[:, ::-1]) == pytest.approx(0)
    assert share_of_same_class(one, np.array([[2, 1], [5, 1], [0, 9]], np.float32)) == pytest.approx(2 / 3)
    other = np.array([[2, 0], [1, 0], [0, 0]], np.float32)
    assert mean_cosine(one, other) == pytest.approx(1 / 3)


def test_the_sentence_says_bytes_agreement_and_time() -> None:
    """A component that is not there is told with its reason."""
    image = Judged(0.9987, "vector", 500, 0.2, 0.1, 0.5, (0.4, 0.6), {})
    found = Converted("openvino", "OpenVINO", 2_000_000, 1_000_000, {"image": image}, {"text": "it hashes"})
    assert found.sentence == (
        "in OpenVINO: 2 MB against 1 MB in ONNX Runtime; image: a mean cosine of 0.9987 for the vectors of 500 inputs, "
        "0.2 ms against 0.1 ms (0.5\N{MULTIPLICATION SIGN} as fast, 0.4\N{MULTIPLICATION SIGN} to "
        "0.6\N{MULTIPLICATION SIGN}); text: not there, because it hashes"
    )
