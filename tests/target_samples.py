"""Small bundles that other runtimes take or refuse."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from data_samples import built_digits
from encoder_folders import write_encoder

from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.quantization.quantize import integer_weights
from stillhouse.models.data.images import load_images
from stillhouse.models.families.bert import adopt_bert
from stillhouse.models.inspection.source import find_source
from stillhouse.models.onnx.export import export_file, export_model
from stillhouse.models.onnx.packing import deployable
from stillhouse.models.runtime.bundle import write_bundle
from stillhouse.models.runtime.tokens import TOKENIZER, Tokenizer
from stillhouse.models.training.checkpoint import Architecture, save_model
from stillhouse.models.workloads.retrieval.data import load_eval_split
from stillhouse.tasks.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
HERE = Settings(ROOT, ROOT / ".stillhouse", ROOT / "runs", "")
"""The checkout's own state: an environment is made once, not for each run of the tests."""
STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}
DYNAMIC = STATIC | {"activations": "dynamic"}
PLAIN = Architecture("plain", {"widths": [16, 32], "strides": [2, 1], "pool": 4}, 16.0, (1, 8, 8))
RESIDUAL = Architecture("residual", {"stem": 16, "widths": [16, 32], "strides": [1, 2]}, 16.0, (1, 8, 8))
ONCE = {"repeats": 2, "most": 2, "rounds": 5, "pause_seconds": 0, "confidence": 0.9, "limit": 1.0}
"""A short timing."""


def write_checkpoint(folder: Path, architecture: Architecture) -> Path:
    """Write the checkpoint of a classifier of digits with random weights, and its ONNX file. Returns its folder."""
    images_NCHW = load_images(built_digits(), "calibration").images_NCHW[:100]
    module = architecture.build_seeded(2).eval()
    module = fold_batch_norm(module if architecture.network == "attention" else fold_pixel_scale(module))
    save_model(folder, architecture.build_seeded(2).eval(), architecture)
    export_model(module, architecture, images_NCHW, folder / "model.onnx")
    return folder


def write_classifier(
    folder: Path, architecture: Architecture = PLAIN, how: dict[str, object] | None = None, packing: str | None = None
) -> Path:
    """Write the bundle of a classifier of digits with random weights. Returns its folder.

    Args:
        folder: the new folder.
        architecture: the network.
        how: `Architecture.quantization`, or None for fp32.
        packing: of the file.
    """
    folder.mkdir(parents=True)
    images_NCHW = load_images(built_digits(), "calibration").images_NCHW[:100]
    module = fold_batch_norm(fold_pixel_scale(architecture.build_seeded(2).eval()))
    export_model(module, replace(architecture, quantization=how, packing=packing), images_NCHW, folder / "model.onnx")
    labels = [str(digit) for digit in range(10)]
    write_bundle(folder, "image_classification", {"model": [deployable(folder, "model")]}, labels=labels)
    return folder


def write_black_box(folder: Path) -> Path:
    """Write the bundle of a classifier that was known as a file only, in int8. Returns its folder."""
    source = write_classifier(folder.with_name(f"{folder.name}_float")) / "model.onnx"
    folder.mkdir()
    export_file(source, STATIC, load_images(built_digits(), "calibration").images_NCHW[:100], folder / "model.onnx")
    write_bundle(folder, "image_classification", {"model": [folder / "model.onnx"]}, labels=[])
    return folder


def write_text_encoder(folder: Path, texts: list[str], bits: int | None = 8) -> Path:
    """Write the bundle of a small text encoder with integer weights, or with float ones. Returns its folder."""
    folder.mkdir(parents=True)
    adopted = adopt_bert(find_source(write_encoder(folder.with_name(f"{folder.name}_teacher"), texts)))
    (folder / TOKENIZER).write_bytes(adopted.files[TOKENIZER])
    ids_NT = Tokenizer(folder / TOKENIZER).ids_of(texts)
    module = integer_weights(adopted.module, bits) if bits else adopted.module
    architecture = replace(adopted.architecture, quantization=DYNAMIC if bits else None)
    export_model(module, architecture, ids_NT, folder / "model.onnx")
    write_bundle(folder, "text_embedding", {"model": [folder / "model.onnx", folder / TOKENIZER]})
    return folder


def write_encoders(folder: Path, architectures: Mapping[str, Architecture], data: Path) -> Path:
    """Write the bundle of a retrieval model in int8 with random weights. Returns its folder."""
    folder.mkdir(parents=True)
    split = load_eval_split(data, "gate")
    for name, architecture in architectures.items():
        how = DYNAMIC if name == "text" else STATIC
        module = fold_batch_norm(architecture.build_seeded(2).eval())
        raw = split.first(name).raw[:20]
        export_model(module, replace(architecture, quantization=how), raw, folder / f"{name}.onnx")
    write_bundle(folder, "retrieval", {name: [folder / f"{name}.onnx"] for name in architectures}, space="one")
    return folder
