"""A model too large for one ONNX file: its weights lie beside it, and everything that reads it finds them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.quantization.quantize import bits_by_layer, integer_weights
from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.bundle import open_bundle, write_bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.runtime.weights import files_of, total_bytes, weights_of
from stillhouse.models.training.checkpoint import Architecture

ARCHITECTURE = Architecture(
    "residual", {"stem": 16, "widths": [16, 32], "strides": [1, 2], "pool": 7}, 90.0, (1, 28, 28)
)
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 1, 28, 28), dtype=np.uint8)
STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}


def export(folder: Path, quantization: Mapping[str, Any] | None = None) -> Path:
    """Export the same network anew."""
    folder.mkdir()
    module = ARCHITECTURE.build_seeded(2)
    module(torch.from_numpy(IMAGES))
    module.eval()
    if quantization:
        module = fold_batch_norm(fold_pixel_scale(module))
        integer_weights(module, bits_by_layer(module, 8, []))
    path = folder / "model.onnx"
    export_model(module, replace(ARCHITECTURE, quantization=quantization, packing="xz"), IMAGES, path)
    return path if path.is_file() else path.with_name("model.onnx.xz")


@pytest.fixture
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file have a kilobyte of weights at most."""
    monkeypatch.setattr("stillhouse.models.onnx.files.MOST", 1_024)


@pytest.mark.parametrize("quantization", [None, STATIC], ids=["floats", "integers"])
def test_a_large_model_answers_as_a_small_file_does(
    tmp_path: Path, quantization: Mapping[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files, not packed, give the answers of one file, to the bit, and have its bytes."""
    one = export(tmp_path / "one", quantization)
    monkeypatch.setattr("stillhouse.models.onnx.files.MOST", 1_024)
    two = export(tmp_path / "two", quantization)
    assert files_of(two) == [two, weights_of(two)]
    assert files_of(one) == [one]
    assert np.array_equal(predict(open_session(two), IMAGES), predict(open_session(one), IMAGES))
    assert total_bytes([two]) == two.stat().st_size + weights_of(two).stat().st_size


@pytest.mark.usefixtures("_small_files")
def test_a_bundle_without_the_weights_is_refused(tmp_path: Path) -> None:
    """The sentence names the missing file."""
    path = export(tmp_path / "bundle")
    write_bundle(path.parent, "image_classification", {"model": files_of(path)})
    assert open_bundle(path.parent).size == total_bytes([path])
    weights_of(path).unlink()
    with pytest.raises(ModelError, match=r"misses model\.onnx\.data; run the stage export again"):
        open_bundle(path.parent)
