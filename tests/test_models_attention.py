"""Attention: heads go whole, the least important first, one always stays, and the file that ships says the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from stillhouse.models.compression.edits import layer_sizes
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.low_rank import low_rank, ranks_for
from stillhouse.models.compression.pruning.channels import Selection, Target, prune_channels
from stillhouse.models.compression.quantization.quantize import integer_weights
from stillhouse.models.errors import ModelError
from stillhouse.models.networks.attention import SelfAttention
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.training.checkpoint import Architecture, load_model, save_model

ARCHITECTURE = Architecture(
    "attention", {"side": 28, "patch": 7, "width": 32, "heads": 4, "hidden": 64, "depth": 2}, 90.0, (1, 28, 28)
)
IMAGES = np.random.default_rng(0).integers(0, 256, (64, 1, 28, 28), dtype=np.uint8)
HEADS_ONLY = Selection("magnitude", 64)
"""No layer of the network has so many channels that some could go."""


def heads_of(module: nn.Module) -> list[int]:
    found = [layer for layer in module.modules() if isinstance(layer, SelfAttention)]
    return [[layer for layer in one.query.modules() if isinstance(layer, nn.Linear)][-1].out_features for one in found]


def pruned_to(heads: int, module: nn.Module, selection: Selection) -> nn.Module:
    target = Target("heads", heads, "{:.0f}", lambda left: sum(heads_of(left)) / 8)
    return prune_channels(module, ARCHITECTURE.example(), target, selection)


@pytest.mark.parametrize("importance", ["magnitude", "lamp"])
def test_the_least_important_head_goes_whole(importance: str) -> None:
    """A head of tiny weights leaves queries, keys, values and output, and what is left computes as before."""
    module = ARCHITECTURE.build_seeded(1).eval()
    for block in module[1].blocks:
        for layer in (block.attention.query, block.attention.key, block.attention.value):
            layer.weight.data[8:16] = layer.bias.data[8:16] = 0
        block.attention.output.weight.data[:, 8:16] = 0
    pruned = pruned_to(6, module, replace(HEADS_ONLY, importance=importance))
    assert heads_of(pruned) == [24, 24]
    assert pruned[1].blocks[0].attention.output.in_features == 24
    assert torch.allclose(pruned(torch.from_numpy(IMAGES)), module(torch.from_numpy(IMAGES)), atol=1e-5)


def test_taylor_sees_which_head_matters() -> None:
    """By Taylor a head whose output nobody reads goes before one of small weights that are read."""
    module = ARCHITECTURE.build_seeded(1).eval()
    for block in module[1].blocks:
        block.attention.value.weight.data[:8] *= 0.2
        block.attention.output.weight.data[:, 24:] = 0
    images = torch.from_numpy(IMAGES)
    fill = lambda left: left(images).logsumexp(1).sum().backward()  # noqa: E731 - a caller's gradients
    pruned = pruned_to(6, module, replace(HEADS_ONLY, importance="taylor", gradients=fill))
    assert torch.equal(pruned[1].blocks[0].attention.value.weight, module[1].blocks[0].attention.value.weight[:24])


def test_one_head_always_stays() -> None:
    """A target below one head in each attention is refused, with the nearest that can be reached."""
    with pytest.raises(ModelError, match=r"the nearest is 2: raise heads or lower round_to"):
        pruned_to(1, ARCHITECTURE.build_seeded(1), HEADS_ONLY)


def test_factorised_attention_still_loses_whole_heads(tmp_path: Path) -> None:
    """Heads go from the last factor of a factorised layer, and the model is saved and loaded to the same outputs."""
    module = ARCHITECTURE.build_seeded(1).eval()
    ranks = ranks_for(module, ARCHITECTURE.example(), 0.4)
    pruned = pruned_to(4, low_rank(module, ranks), Selection("magnitude", 4))
    assert all(width % 8 == 0 and width <= 16 for width in heads_of(pruned))
    edited = ARCHITECTURE.with_edits(
        {"edit": "factorise", "ranks": ranks}, {"edit": "resize", "sizes": layer_sizes(pruned)}
    )
    save_model(tmp_path, pruned, edited)
    images = torch.from_numpy(IMAGES)
    assert torch.equal(load_model(tmp_path)[0](images), pruned.eval()(images))


@pytest.mark.parametrize("activations", ["static", "dynamic", "float"])
def test_the_integer_file_answers_as_the_module(tmp_path: Path, activations: str) -> None:
    """Attention in integers is exported, runs in the runtime that ships, and stays close to its module."""
    module = integer_weights(fold_batch_norm(fold_pixel_scale(ARCHITECTURE.build_seeded(2).eval())), 8)
    expected = module(torch.from_numpy(IMAGES)).detach().numpy()
    how = {"activations": activations, "calibration": "minmax", "keep_float": []}
    export_model(module, replace(ARCHITECTURE, quantization=how), IMAGES, tmp_path / "model.onnx")
    found = predict(open_session(tmp_path / "model.onnx"), IMAGES)
    assert np.abs(found - expected).max() < 0.05 * np.ptp(expected)


def test_what_does_not_divide_is_refused() -> None:
    """A patch that does not tile the image, or heads that do not share the width, are refused by name."""
    with pytest.raises(ModelError, match=r"patch 5 must divide side 28, and heads 4 width 32; change what does not"):
        replace(ARCHITECTURE, arguments=ARCHITECTURE.arguments | {"patch": 5}).build()
