"""Folders of transformers that cannot be a teacher: each is refused in one sentence that names the remedy."""

import functools
import json
import pickle
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers_samples import DIGITS, SIDE, rewrite, save_classifier

from stillhouse.models.errors import ModelError
from stillhouse.models.families.image_classifier import adopt_classifier
from stillhouse.models.inspection.source import find_source

WEIGHTS, CONFIG, PROCESSOR = "model.safetensors", "config.json", "preprocessor_config.json"
Spoil = Callable[[Path], None]


@functools.cache
def sound(kind: str) -> Path:
    """Save a classifier once; treat the folder as read-only."""
    return save_classifier(Path(tempfile.mkdtemp()) / kind, kind)


def data_of(folder: Path, shape: tuple[int, ...] = (1, 8, 8), labels: tuple[str, ...] = DIGITS) -> Path:
    """Describe a dataset of pictures."""
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps({"image_shape": shape, "labels": labels, "splits": {}}))
    return folder


def only_a_pickle(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def without(tensor: str) -> Spoil:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        tensors.pop(tensor)
        save_file(tensors, folder / WEIGHTS, {"format": "pt"})

    return spoil


def truncated(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def named(*labels: str) -> Spoil:
    return lambda folder: rewrite(folder / CONFIG, id2label=dict(enumerate(labels)), label2id={})


def configured(**changes: object) -> Spoil:
    return lambda folder: rewrite(folder / CONFIG, **changes)


def prepared(**changes: object) -> Spoil:
    return lambda folder: rewrite(folder / PROCESSOR, **changes)


TURNED = ("zero", *DIGITS[1:])
FAULTS: dict[str, tuple[Spoil, str]] = {
    "a pickle": (only_a_pickle, r"pytorch_model\.bin may be a pickle.*save_pretrained"),
    "code of the author": (
        configured(auto_map={"AutoModel": "theirs.Model"}),
        r"asks to run code.*export the model to",
    ),
    "a processor with code": (
        prepared(image_processor_type="Theirs", auto_map={"AutoImageProcessor": "theirs.Processor"}),
        r"preprocessor_config\.json cannot be read .*save the processor again",
    ),
    "no processor": (
        lambda folder: (folder / PROCESSOR).unlink(),
        r"has no preprocessor_config\.json, .*save it there",
    ),
    "a missing weight": (without("classifier.1.weight"), r"has no weights for classifier\.1\.weight; save the whole"),
    "a truncated file": (truncated, r"cannot be read \(.*; save the model again"),
    "other sizes": (configured(hidden_sizes=[16, 64]), r"cannot be read \(.*; save the model again"),
    "an unknown model": (configured(model_type="theirs"), r"cannot be read \(.*theirs.*; save the model again"),
    "fewer labels": (
        named(*DIGITS[:7]),
        r"has the labels 0, 1, 2, 3, 4, 5, 6 and the data has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; mend id2label",
    ),
    "other labels": (
        named(*TURNED),
        r"has the labels zero, 1, 2, 3, 4, 5, 6, 7, 8, 9 and the data has 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; mend id2label",
    ),
    "one name twice": (named(*DIGITS[:9], "0"), r"has the labels 0, .*, 8, 0 and the data has 0, .*, 9; mend id2label"),
    "another task": (
        configured(architectures=["BertForSequenceClassification"]),
        r"is BertForSequenceClassification; image classification reads \.\.\.ForImageClassification of transformers",
    ),
    "an unknown size": (prepared(size={"longest_edge": 9}), r"in a way that is not known here .*export the model"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_that_is_no_teacher_is_refused(tmp_path: Path, fault: str) -> None:
    """The sentence names the folder or the file, the fault and the remedy."""
    spoil, sentence = FAULTS[fault]
    folder = Path(shutil.copytree(sound("resnet"), tmp_path / "model"))
    spoil(folder)
    with pytest.raises(ModelError, match=sentence) as caught:
        adopt_classifier(find_source(folder), data_of(tmp_path / "data"))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_size_that_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    """A transformer with places for 32 pixels does not take pictures of 24, and the sentence names the processor."""
    folder = Path(shutil.copytree(sound("vit"), tmp_path / "model"))
    rewrite(folder / PROCESSOR, size={"height": SIDE - 8, "width": SIDE - 8})
    with pytest.raises(ModelError, match=r"does not take the pictures that its preprocessor_config\.json prepares"):
        adopt_classifier(find_source(folder), data_of(tmp_path / "data"))


def test_a_step_of_the_processor_that_is_not_known_is_found(tmp_path: Path) -> None:
    """A processor that turns the order of the channels is refused, because its pictures differ from ours."""
    folder, flip = Path(shutil.copytree(sound("resnet"), tmp_path / "model")), "do_flip_channel_order"
    rewrite(folder / PROCESSOR, image_processor_type="MobileViTImageProcessor", do_normalize=False, **{flip: True})
    with pytest.raises(ModelError, match=r"not known here \(it differs by [0-9.]+ levels of 256 .*export the model to"):
        adopt_classifier(find_source(folder), data_of(tmp_path / "data", (3, 8, 8)))


def test_colours_for_a_grey_model_are_refused(tmp_path: Path) -> None:
    """A model of one channel is no teacher for coloured pictures."""
    folder = save_classifier(
        tmp_path / "model", "resnet", num_channels=1, processor={"image_mean": 0.5, "image_std": 1}
    )
    with pytest.raises(ModelError, match=r"expects 1 channels and the pictures have 3; import the pictures with"):
        adopt_classifier(find_source(folder), data_of(tmp_path / "data", (3, 8, 8)))


def test_a_timm_folder_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Only compress converts it; a recipe names the converted file."""
    shutil.copyfile(sound("resnet") / WEIGHTS, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(json.dumps({"architecture": "resnet18", "num_classes": 10}))
    with pytest.raises(ModelError, match=r"is a timm model; `stillhouse compress` converts it, and the recipe that it"):
        adopt_classifier(find_source(tmp_path), data_of(tmp_path / "data"))
