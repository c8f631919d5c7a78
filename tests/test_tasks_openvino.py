"""The real environment of OpenVINO: bundles go out as its IR, and are judged there beside ONNX Runtime."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from data_samples import built_digits, built_emoji_small, built_stamps_small
from encoder_samples import SPEECH_PLAIN
from target_samples import (
    HERE,
    ONCE,
    PLAIN,
    RESIDUAL,
    STATIC,
    write_black_box,
    write_classifier,
    write_encoders,
    write_text_encoder,
)
from text_samples import sentences, write_texts

from stillhouse.models.training.checkpoint import Architecture
from stillhouse.tasks.artifacts.artifact import file_digest
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.targets import convert
from stillhouse.tasks.targets.judged import Converted
from stillhouse.tasks.targets.source import open_source
from stillhouse.tasks.targets.targets import target_of

pytestmark = pytest.mark.long
IMAGE = Architecture(
    "plain_encoder", {"dimension": 16, "widths": [16, 32], "strides": [2, 2], "pool": 16}, 255.0, (3, 64, 64)
)
TEXT = Architecture("ngram_encoder", {"buckets": 97, "width": 8, "hidden": 8, "dimension": 16}, 1.0, ())
Convert = Callable[[Path, Path], Converted]


@pytest.fixture
def to_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Convert:
    """Convert a bundle to tmp_path/out, with a short timing."""
    monkeypatch.setattr(convert, "SCHEDULE", ONCE)

    def run(bundle: Path, data: Path) -> Converted:
        return convert.convert_to(target_of("openvino"), open_source(bundle), data, tmp_path / "out", HERE, print)

    return run


@pytest.mark.parametrize(
    ("how", "packing", "architecture"),
    [(None, None, PLAIN), (STATIC, None, PLAIN), (STATIC, "lzma", PLAIN), (STATIC, None, RESIDUAL)],
    ids=["fp32", "int8", "packed", "residual"],
)
def test_a_classifier_goes_out(
    tmp_path: Path, to_openvino: Convert, how: dict[str, Any] | None, packing: str | None, architecture: Architecture
) -> None:
    """It gives the same classes as in ONNX Runtime, and its folder says so beside its labels and digests."""
    found = to_openvino(write_classifier(tmp_path / "b", architecture, how, packing), built_digits())
    model, manifest = found.components["model"], json.loads((tmp_path / "out" / "target.json").read_text())
    assert model.agreement > 0.95
    assert model.interval[0] <= model.ratio <= model.interval[1]
    assert manifest["files"] == {name: file_digest(tmp_path / "out" / name) for name in ("model.bin", "model.xml")}
    assert manifest["about"]["labels"] == [str(digit) for digit in range(10)]
    assert manifest["measured"]["components"]["model"]["agreement"] == model.agreement
    assert found.bytes == sum((tmp_path / "out" / name).stat().st_size for name in manifest["files"])
    weights = (tmp_path / "out" / "model.bin").stat().st_size
    assert (
        weights
        < (0.5 if how else 1.2) * write_classifier(tmp_path / "f", architecture).joinpath("model.onnx").stat().st_size
    )


def test_a_black_box_in_int8_goes_out(tmp_path: Path, to_openvino: Convert) -> None:
    """Its integer operators are spelled out like those of a student of ours."""
    bundle = write_black_box(tmp_path / "b")
    assert "QLinearConv" in {node.op_type for node in onnx.load(bundle / "model.onnx").graph.node}
    assert to_openvino(bundle, built_digits()).components["model"].agreement > 0.95


@pytest.mark.parametrize("bits", [None, 8, 4])
def test_a_text_encoder_goes_out(tmp_path: Path, to_openvino: Convert, bits: int | None) -> None:
    """Its vectors are those of ONNX Runtime, and its tokenizer lies beside it."""
    texts = sentences(200)
    found = to_openvino(write_text_encoder(tmp_path / "b", texts, bits), write_texts(tmp_path / "texts", texts))
    assert found.components["model"].agreement > 0.97
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (tmp_path / "b" / "tokenizer.json").read_bytes()


def test_encoders_of_pictures_and_recordings_go_out_and_those_of_hashed_texts_do_not(
    tmp_path: Path, to_openvino: Convert
) -> None:
    """The reason is told, and the bytes are those of the encoders that are there."""
    data = built_stamps_small()
    bundle = write_encoders(tmp_path / "b", {"image": IMAGE, "text": TEXT, "speech": SPEECH_PLAIN}, data)
    found = to_openvino(bundle, data)
    assert {name: judged.agreement > 0.95 for name, judged in found.components.items()} == {
        "image": True,
        "speech": True,
    }
    assert "hashes texts with integers of 64 bits" in found.refused["text"]
    assert found.reference_bytes == sum((bundle / f"{name}.onnx").stat().st_size for name in ("image", "speech"))
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".xml", ".bin", ".json"}


def test_a_model_that_the_target_cannot_take_leaves_nothing(tmp_path: Path, to_openvino: Convert) -> None:
    """If no component goes out, its reason is the error, and there is no folder."""
    bundle = write_encoders(tmp_path / "b", {"text": TEXT}, built_emoji_small())
    with pytest.raises(StillhouseError, match="keep this component in ONNX Runtime"):
        to_openvino(bundle, built_emoji_small())
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
