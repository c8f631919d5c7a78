"""Encoders: what goes in and comes out, what they learn from, and that an exported one is the trained one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from encoder_samples import SPEECH_PLAIN, SPEECH_RESIDUAL
from exported_graphs import dequantized_weights
from torch import nn

from stillhouse.models.augmentation.redraw import PAPER, redrawn
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.quantization.quantize import (
    bits_by_layer,
    integer_edit,
    integer_weights,
    with_whole_edges,
)
from stillhouse.models.data.pictures import picture_of
from stillhouse.models.data.sound.waves import LENGTH
from stillhouse.models.data.text import codes_of
from stillhouse.models.distillation.embedding import contrast_with_teacher, taught_vectors
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.texts.ngrams import NgramEncoder, tables_of
from stillhouse.models.networks.unit import unit
from stillhouse.models.onnx.export import export_float, export_model
from stillhouse.models.onnx.packing import deployable, unpack
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.training.checkpoint import Architecture, load_model, save_model
from stillhouse.models.workloads.retrieval.pairs import caption_of
from stillhouse.models.workloads.retrieval.training import Encoders

TEXT = Architecture("ngram_encoder", {"buckets": 509, "width": 32, "hidden": 48, "dimension": 16}, 1.0, ())
PLAIN = Architecture(
    "plain_encoder",
    {"dimension": 16, "widths": [16, 32], "strides": [4, 2], "pool": 8, "stem_kernel": 4},
    80.0,
    (3, 64, 64),
    background=PAPER,
)
RESIDUAL = Architecture(
    "residual_encoder",
    {"dimension": 16, "stem": 16, "widths": [16, 32], "strides": [2, 2]},
    80.0,
    (3, 64, 64),
    background=PAPER,
)
SENTENCES = ["red heart", "\u8d64\u3044\u30cf\u30fc\u30c8", "x", "un c\u0153ur rouge tr\u00e8s long " * 3]
WAVES = np.random.default_rng(1).normal(0, 4000, (20, LENGTH)).astype(np.int16)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 3, 64, 64), dtype=np.uint8)


def raw_of(architecture: Architecture) -> np.ndarray:
    """Inputs that an exported encoder takes."""
    return {"text": codes_of(SENTENCES), "image": IMAGES, "speech": WAVES}[architecture.takes]


def answers(module: nn.Module, architecture: Architecture) -> np.ndarray:
    """Vectors of the training-time encoder."""
    raw = torch.from_numpy(raw_of(architecture))
    return module.eval()(raw if architecture.takes == "text" else raw.float()).detach().numpy()


@pytest.mark.parametrize(
    "architecture", [TEXT, PLAIN, RESIDUAL, SPEECH_PLAIN, SPEECH_RESIDUAL], ids=lambda each: each.network
)
@pytest.mark.parametrize("weights", [None, pytest.param(8, marks=pytest.mark.long), 4])
def test_an_exported_tower_is_the_trained_one(tmp_path: Path, architecture: Architecture, weights: int | None) -> None:
    """Floats to rounding, integer weights too, packed or not, after a way through the checkpoint."""
    module = architecture.build_seeded(1).eval()
    if weights:
        module, architecture = as_integers(module, architecture, weights)
    expected = answers(module, architecture)
    save_model(tmp_path, module, architecture)
    export_model(*load_model(tmp_path), raw_of(architecture), tmp_path / "tower.onnx")
    assert not dequantized_weights(onnx.load_from_string(unpack(deployable(tmp_path, "tower"))))
    found = predict(open_session(deployable(tmp_path, "tower")), raw_of(architecture))
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (expected * found).sum(1).min() > 0.9999


def test_an_integer_picture_tower_takes_the_raw_bytes(tmp_path: Path) -> None:
    """Paper is the zero point of the first convolution: bytes are only put side by side before it."""
    module, architecture = as_integers(PLAIN.build_seeded(1).eval(), PLAIN, 8, "static")
    expected = answers(module, architecture)
    export_model(module, architecture, IMAGES, tmp_path / "tower.onnx")
    unpacked_file = deployable(tmp_path, "tower")
    nodes = onnx.load_from_string(unpack(unpacked_file)).graph.node
    assert [node.op_type for node in nodes][:5] == ["Transpose", "Reshape", "Transpose", "QLinearConv", "QLinearConv"]
    assert nodes[0].input[0] == "images_NCHW"
    assert (expected * predict(open_session(unpacked_file), IMAGES)).sum(1).min() > 0.99


def test_an_integer_speech_tower_weighs_letters_in_floats(tmp_path: Path) -> None:
    """Its softmax, slower on integers, is the only layer between hearing and reading that is not integer.

    A Cast, a Sub and a Mul stand before it: the runtime's default options make an integer softmax of what comes from a
    DequantizeLinear.
    """
    module, architecture = as_integers(SPEECH_PLAIN.build_seeded(1).eval(), SPEECH_PLAIN, 8, "static")
    export_model(module, architecture, WAVES, tmp_path / "tower.onnx")
    nodes = [node.op_type for node in onnx.load_from_string(unpack(deployable(tmp_path, "tower"))).graph.node]
    place = nodes.index("Softmax")
    assert [each for each in nodes[place - 5 : place + 4] if each != "Reshape"] == [
        "QGemm",
        "Cast",
        "Sub",
        "Mul",
        "Softmax",
        "QuantizeLinear",
        "QGemm",
    ]
    assert "QLinearSoftmax" not in optimized(deployable(tmp_path, "tower"), tmp_path / "optimized.onnx")


def optimized(path: Path, to: Path) -> list[str]:
    """Operators that the runtime computes with, under its default options."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(to)
    onnxruntime.InferenceSession(unpack(path), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(to).graph.node]


def as_integers(
    module: nn.Module, architecture: Architecture, bits: int, activations: str = "float"
) -> tuple[nn.Module, Architecture]:
    """Round the weights, as the step quantize does, and pack."""
    if architecture.takes == "image":
        module = fold_batch_norm(fold_pixel_scale(module))
        architecture = architecture.with_edits({"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"})
    elif architecture.takes == "speech":
        module, architecture = fold_batch_norm(module), architecture.with_edits({"edit": "fold_batch_norm"})
    chosen = with_whole_edges(bits_by_layer(module, bits), tables_of(module))
    how = {"activations": activations, "calibration": "minmax", "keep_float": []}
    edited = architecture.with_edits(integer_edit(module, chosen))
    return integer_weights(module, chosen), replace(edited, quantization=how, packing="lzma")


def test_the_table_takes_the_bits_that_were_asked_for() -> None:
    """Of a text encoder, only the layers around the table's middle neighbours are edges."""
    module = TEXT.build_seeded(1)
    chosen = with_whole_edges(bits_by_layer(module, 4), tables_of(module))
    assert chosen == {"table": 4, "up": 8, "mix": 4, "head": 8}


@pytest.mark.parametrize("factor", [1, 2])
def test_only_shapes_that_keep_their_batch_become_constants(tmp_path: Path, factor: int) -> None:
    """The exported text encoder counts no elements; a network that folds its batch answers as before."""

    class Folding(nn.Module):
        def forward(self, codes_NL: torch.Tensor) -> torch.Tensor:
            count, length = codes_NL.shape
            folded = torch.cat([codes_NL, codes_NL], 1).reshape(count * factor, 2 * length // factor)
            return folded.float().reshape(count, -1)

    export_float(Folding(), TEXT, tmp_path / "folding.onnx")
    codes_NL = codes_of(SENTENCES)
    assert (predict(open_session(tmp_path / "folding.onnx"), codes_NL) == np.tile(codes_NL, (1, 2))).all()
    export_float(TEXT.build_seeded(1), TEXT, tmp_path / "text.onnx")
    assert "Concat" not in {node.op_type for node in onnx.load(tmp_path / "text.onnx").graph.node}


def test_a_vector_without_length_stays() -> None:
    """Vectors get length one; nothing is divided by 0."""
    assert unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


def test_filling_does_not_change_a_sentence() -> None:
    """A sentence beside a longer one has the vector that it has alone."""
    encoder = NgramEncoder(**TEXT.arguments).eval()
    together, alone = (encoder(torch.from_numpy(codes_of(some))) for some in (SENTENCES, SENTENCES[:1]))
    assert torch.allclose(together[0], alone[0], atol=1e-6)


def test_order_of_letters_counts_and_shared_words_bring_near() -> None:
    """An anagram is elsewhere; a sentence with a word in common is nearer than one without."""
    torch.manual_seed(0)
    encoder = NgramEncoder(**TEXT.arguments).eval()
    star, rats, stars, moon = encoder(torch.from_numpy(codes_of(["star", "rats", "stars", "moon"])))
    assert not torch.allclose(star, rats, atol=1e-3)
    assert star @ stars > star @ moon


def test_a_drawing_is_redrawn_alike_from_one_seed() -> None:
    """The same seed draws the same, another another; the paper stays paper."""
    drawings = torch.full((8, 3, 64, 64), PAPER, dtype=torch.uint8)
    drawings[:, :, 16:48, 16:48] = torch.randint(0, 200, (8, 3, 1, 1)).to(torch.uint8)
    one, again, other = (redrawn(drawings, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert (one[:, :, 0, 0] == PAPER).all()


@pytest.mark.parametrize("tags", [[], ["love", "valentine"]])
def test_a_caption_is_made_of_its_words(tags: list[str]) -> None:
    """A name, tags or both, never nothing."""
    chooser = np.random.default_rng(0)
    said = {caption_of("red heart", tags, chooser) for _ in range(200)}
    assert "red heart" in said
    assert all(said)
    assert ({"love"} & said == {"love"}) == bool(tags)


def test_a_student_that_equals_its_teacher_loses_only_to_the_labels() -> None:
    """Similarities and regression are then 0, and the gradient is."""
    vectors_BD = nn.functional.normalize(torch.randn(6, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    batch = (vectors_BD, torch.arange(6), vectors_BD)
    objective = taught_vectors(vectors_BD, "kl", 2.0, 0.0, 4.0)
    assert objective(nn.Identity(), batch).item() == pytest.approx(0, abs=1e-5)
    assert objective(lambda inputs: inputs.flip(0), batch).item() > 1  # type: ignore[arg-type]


def test_the_anchored_loss_falls_when_towers_agree() -> None:
    """Encoders that put fellows at their anchor lose less than encoders that do not."""
    eye = torch.eye(4)
    encoders = Encoders({"text": nn.Identity(), "image": nn.Identity()}, 4, 4, 1)
    encoders.anchors.data = eye
    labels, twice = torch.arange(4), torch.arange(4).repeat(2)
    agreed = contrast_with_teacher(encoders, (torch.cat([eye, eye]), twice, eye, labels))
    apart = contrast_with_teacher(encoders, (torch.cat([eye, eye]), twice, eye.flip(0), labels))
    assert agreed < 0.1 < apart


@pytest.mark.parametrize("content", [b"", b"GIF89a and then nothing", b"\x89PNG\r\n\x1a\n"])
def test_a_picture_that_cannot_be_read_is_refused(content: bytes) -> None:
    """The sentence says what to give."""
    with pytest.raises(ModelError, match=r"cannot be read .* give a whole PNG"):
        picture_of(content)
