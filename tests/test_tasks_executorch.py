"""The real environments of ExecuTorch and LiteRT: checkpoints go out as their files, and are judged there."""

from dataclasses import replace
from pathlib import Path

import pytest
from data_samples import built_digits
from target_samples import HERE, ONCE, PLAIN, RESIDUAL, STATIC, write_checkpoint

from stillhouse.models.training.checkpoint import Architecture
from stillhouse.tasks.errors import StillhouseError
from stillhouse.tasks.targets import convert
from stillhouse.tasks.targets.judged import Converted
from stillhouse.tasks.targets.source import open_source
from stillhouse.tasks.targets.targets import target_of

pytestmark = pytest.mark.long
ATTENTION = Architecture(
    "attention", {"side": 8, "patch": 4, "width": 16, "heads": 2, "hidden": 16, "depth": 1}, 16.0, (1, 8, 8)
)


def send(name: str, checkpoint: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Converted:
    """Convert with a short timing."""
    monkeypatch.setattr(convert, "SCHEDULE", ONCE)
    return convert.convert_to(target_of(name), open_source(checkpoint), built_digits(), out, HERE, print)


@pytest.mark.parametrize("architecture", [PLAIN, RESIDUAL, ATTENTION], ids=lambda each: each.network)
@pytest.mark.parametrize("how", [None, STATIC], ids=["fp32", "int8"])
def test_a_classifier_goes_out_to_executorch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: Architecture, how: dict[str, object] | None
) -> None:
    """It gives the classes of ONNX Runtime, from the same raw pixels; a student with integers has integers there."""
    checkpoint = write_checkpoint(tmp_path / "model", replace(architecture, quantization=how))
    found = send("executorch", checkpoint, tmp_path / "out", monkeypatch)
    model = found.components["model"]
    assert model.agreement > 0.95
    assert model.machine["executorch"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.pte", "target.json"}
    whole = write_checkpoint(tmp_path / "float", architecture).joinpath("model.onnx").stat().st_size
    if architecture is not ATTENTION:  # its operators take more bytes than its few weights
        assert found.bytes < (0.75 if how else 1.5) * whole + 8_000


@pytest.mark.parametrize("architecture", [PLAIN, RESIDUAL], ids=lambda each: each.network)
def test_a_classifier_goes_out_to_litert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: Architecture
) -> None:
    """Full integers give the classes of ONNX Runtime."""
    checkpoint = write_checkpoint(tmp_path / "model", replace(architecture, quantization=STATIC))
    assert send("litert", checkpoint, tmp_path / "out", monkeypatch).components["model"].agreement > 0.95
    assert (tmp_path / "out" / "model.tflite").is_file()


def test_a_student_without_a_litert_form_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the operators."""
    with pytest.raises(StillhouseError, match="operators without a LiteRT form here"):
        send("litert", write_checkpoint(tmp_path / "model", ATTENTION), tmp_path / "out", monkeypatch)
    assert not (tmp_path / "out").exists()
