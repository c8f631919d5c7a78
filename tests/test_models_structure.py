"""Surgery on the structure: dropped layers, low rank, cheaper blocks, and how it all is replayed."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.compression.cost import macs_and_parameters
from stillhouse.models.compression.depth import drop_layers, droppable, least_harmful
from stillhouse.models.compression.edits import EDITS, layer_sizes, resize
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.low_rank import factorise, low_rank, ranks_for
from stillhouse.models.compression.pruning.channels import Selection, Target, prune_channels
from stillhouse.models.compression.pruning.weights import prunable
from stillhouse.models.compression.quantization.quantize import integer_weights
from stillhouse.models.data.text import codes_of
from stillhouse.models.errors import ModelError
from stillhouse.models.training.checkpoint import Architecture, load_model, save_model

WIDE = {"stem": 16, "widths": [16, 16, 32, 32], "strides": [1, 1, 2, 1], "pool": 7}
TEXT = Architecture("ngram_encoder", {"buckets": 509, "width": 32, "hidden": 48, "dimension": 16}, 1.0, ())
RESIDUAL = Architecture("residual", WIDE, 90.0, (1, 28, 28))
SEPARABLE = Architecture("residual", {**WIDE, "block": "separable"}, 90.0, (1, 28, 28))
PLAIN = Architecture("plain", {"widths": [16, 16, 32, 32], "strides": [2, 1, 2, 1], "pool": 7}, 90.0, (1, 28, 28))
NETWORKS = {"residual": RESIDUAL, "separable": SEPARABLE, "plain": PLAIN}


def images(count: int = 8) -> Tensor:
    return torch.randint(0, 256, (count, 1, 28, 28), generator=torch.Generator().manual_seed(5)).float()


def trained(architecture: Architecture) -> nn.Module:
    module = architecture.build_seeded(1)
    module(images(32))
    return module.eval()


def macs(module: nn.Module, example: Tensor) -> int:
    return macs_and_parameters(module, example)[0]


def thinner(module: nn.Module, share: float) -> nn.Module:
    whole = macs(module, RESIDUAL.example())
    target = Target("macs", share, "{:.0%}", lambda left: macs(left, RESIDUAL.example()) / whole)
    return prune_channels(module, RESIDUAL.example(), target, Selection("magnitude", 4))


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        (RESIDUAL, ["1.blocks.0", "1.blocks.1", "1.blocks.3"]),
        (SEPARABLE, ["1.blocks.0", "1.blocks.1", "1.blocks.3"]),
        (PLAIN, ["1.body.1", "1.body.3"]),
        (Architecture("multimodal_small_model", {}, 6.0, (1, 8, 8)), []),
    ],
)
def test_layers_that_keep_the_shape_can_go(architecture: Architecture, names: list[str]) -> None:
    """Blocks that map a shape to itself can be dropped: not the pixels' scale, nor what lies inside a block."""
    assert droppable(architecture.build_seeded(0), architecture.example()) == names


def test_the_layer_that_changes_nothing_goes_first() -> None:
    """A layer that already is an identity does no harm, one that negates does the most; each is scored anew."""
    module = nn.Sequential(*(nn.Linear(3, 3, bias=False) for _ in range(3)), nn.Linear(3, 2))
    for layer, factor in zip(module, (2.0, -1.0, 1.0), strict=False):
        layer.weight.data = factor * torch.eye(3)
    module[3].weight.data = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    inputs_NI = torch.randn(64, 3, generator=torch.Generator().manual_seed(2))
    assert least_harmful(module, inputs_NI, 3) == ["2", "0", "1"]
    assert len(module) == len(prunable(module)) == 4


def test_more_layers_than_can_go_are_refused() -> None:
    """Asking for more layers than there are is an error that says how many there are."""
    with pytest.raises(ModelError, match=r"take out 4 layers and only 3 can go.*lower layers"):
        least_harmful(trained(RESIDUAL), images(), 4)
    with pytest.raises(ModelError, match=r"only 0 can go.*place the step before fold"):
        least_harmful(fold_batch_norm(trained(RESIDUAL)), images(), 1)


def test_dropping_layers_leaves_fewer_multiply_accumulates() -> None:
    """A dropped block takes its two 3x3 convolutions with it: 2 * 14 * 14 * 16 * 16 * 9 of them, and its norms."""
    module = trained(RESIDUAL)
    before = layer_sizes(module)
    drop_layers(module, ["1.blocks.1"])
    gone = set(before) - set(layer_sizes(module))
    assert gone == {f"1.blocks.1.{name}" for name in ("conv1", "bn1", "conv2", "bn2")}
    assert module(images()).shape == (8, 10)


def of_rank(rows: int, columns: int, rank: int) -> Tensor:
    """A matrix whose first `rank` singular values are equal, the others zero."""
    generator = torch.Generator().manual_seed(4)
    left, _ = torch.linalg.qr(torch.randn(rows, rank, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(columns, rank, generator=generator))
    return left @ right.T


@pytest.mark.parametrize(("energy", "rank"), [(0.45, 8), (0.5, 8), (0.55, 16), (0.95, 16)])
def test_the_rank_keeps_the_energy(energy: float, rank: int) -> None:
    """Of 16 equal singular values 8 hold half of the energy; ranks are rounded up to 8."""
    module = nn.Sequential(nn.Linear(64, 64))
    module[0].weight.data = of_rank(64, 64, 16)
    assert ranks_for(module, torch.zeros(1, 64), energy) == {"0": [rank]}


@pytest.mark.parametrize(
    ("layer", "shape", "ranks"),
    [
        (nn.Linear(40, 48), (40,), [8]),
        (nn.Conv2d(40, 48, 1, stride=2), (40, 6, 6), [8]),
        (nn.Conv2d(40, 48, 3, stride=2, padding=1, bias=False), (40, 6, 6), [8, 8]),
        (nn.Conv2d(40, 48, (1, 5), dilation=(1, 2), padding="same"), (40, 9, 9), [8, 8]),
    ],
)
def test_a_layer_of_low_rank_is_factorised_without_loss(
    layer: nn.Module, shape: tuple[int, ...], ranks: list[int]
) -> None:
    """A layer whose weight has the rank that is kept says the same after it, from thinner layers."""
    taps = layer.weight[0, 0].numel() if layer.weight.ndim == 4 else 1
    core = torch.randn(8, 8, taps, generator=torch.Generator().manual_seed(3))
    weight = torch.einsum("or,rst,is->oit", of_rank(48, 8, 8), core, of_rank(40, 8, 8))
    layer.weight.data = weight.reshape(layer.weight.shape)
    module = nn.Sequential(layer)
    inputs = torch.randn(3, *shape, generator=torch.Generator().manual_seed(6))
    expected = module(inputs)
    found = ranks_for(module, inputs[:1], 0.9999)
    assert found == {"0": ranks}
    assert torch.allclose(low_rank(module, found)(inputs), expected, atol=1e-5)
    assert sum(p.numel() for p in module.parameters()) < layer.weight.numel()


def test_a_table_of_low_rank_is_factorised_without_loss() -> None:
    """A table of n-grams becomes one of thinner rows and a layer that widens them; the vectors stay."""
    module = TEXT.build_seeded(1).eval()
    module.table.weight.data = of_rank(32, 509, 8)  # type: ignore[union-attr]
    codes_NL = torch.from_numpy(codes_of(["a red heart", "Katze", "x"]))
    expected = module(codes_NL)
    found = ranks_for(module, TEXT.example(), 0.9999)
    assert found["table"] == [8]
    assert torch.allclose(low_rank(module, {"table": [8]})(codes_NL), expected, atol=1e-5)
    assert module.get_parameter("table.rows.weight").shape == (8, 509)
    assert module.get_parameter("table.widen.weight").shape == (32, 8)


def test_only_the_named_layers_are_factorised() -> None:
    """Where layers are named the others stay whole; a name that no layer has is refused."""
    module = TEXT.build_seeded(1).eval()
    module.table.weight.data = of_rank(32, 509, 8)  # type: ignore[union-attr]
    assert ranks_for(module, TEXT.example(), 0.9999, ["table"]) == {"table": [8]}
    with pytest.raises(ModelError, match=r"^low_rank finds no layer tables in this model; its layers are table, up, "):
        ranks_for(module, TEXT.example(), 0.9999, ["table", "tables"])


def test_tucker_is_the_projection_on_the_leading_singular_vectors() -> None:
    """A factorised convolution is W x U_in U_in' x U_out U_out', with the singular vectors of both unfoldings."""
    layer = nn.Conv2d(24, 32, 3, bias=False)
    weight = layer.weight.detach().clone()
    u_out = torch.linalg.svd(weight.flatten(1))[0][:, :8]
    u_in = torch.linalg.svd(weight.transpose(0, 1).flatten(1))[0][:, :16]
    expected = torch.einsum("op,iq,qj,pn,njhw->oihw", u_out, u_in, u_in.T, u_out.T, weight)
    inputs = torch.randn(2, 24, 5, 5)
    given = low_rank(nn.Sequential(layer), {"0": [16, 8]})(inputs)
    assert torch.allclose(given, functional.conv2d(inputs, expected), atol=1e-4)


def test_a_layer_that_would_not_get_cheaper_stays() -> None:
    """Layers too small for a rank of 8 and depthwise convolutions are left; 8 * (32 + 512) is less than 32 * 512."""
    module = nn.Sequential(
        nn.Conv2d(32, 32, 3, groups=32), nn.Conv2d(32, 8, 1), nn.Conv2d(8, 32, 1), nn.Flatten(), nn.Linear(32, 512)
    )
    module[4].weight.data = of_rank(512, 32, 4)
    assert ranks_for(module, torch.zeros(1, 32, 3, 3), 0.9) == {"4": [8]}


def test_low_rank_that_saves_nothing_is_refused() -> None:
    """Where no layer would get cheaper the step is refused."""
    module = nn.Sequential(nn.Linear(16, 16))
    with pytest.raises(ModelError, match=r"makes no layer .* at energy 0\.99; lower energy or remove the step$"):
        ranks_for(module, torch.zeros(1, 16), 0.99)


def test_rebuilding_factors_needs_no_numbers() -> None:
    """The edit gives the layers that surgery gave, by name and size."""
    module = trained(RESIDUAL)
    ranks = ranks_for(module, RESIDUAL.example(), 0.6)
    assert layer_sizes(factorise(trained(RESIDUAL), ranks)) == layer_sizes(low_rank(module, ranks))


def test_default_blocks_are_as_they_were() -> None:
    """A network with basic blocks has the numbers it had before there were others."""
    module = Architecture("residual", {**WIDE, "block": "basic"}, 90.0, (1, 28, 28)).build_seeded(1)
    same = RESIDUAL.build_seeded(1)
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), same.state_dict().values(), strict=True))


def test_separable_blocks_are_cheaper() -> None:
    """A separable convolution of 32 channels has 32 * (9 + 32) weights where the full one has 32 * 32 * 9."""
    block = SEPARABLE.build_seeded(0).get_submodule("1.blocks.3")
    convolutions = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)]
    assert sum(layer.weight.numel() for layer in convolutions) == 2 * 32 * (9 + 32)
    assert macs(SEPARABLE.build_seeded(0), SEPARABLE.example()) < macs(RESIDUAL.build_seeded(0), RESIDUAL.example()) / 4


def test_an_unknown_block_is_named() -> None:
    """A block nobody knows is refused with those that exist."""
    with pytest.raises(ModelError, match=r"there is no block 'dense'; use one of basic, separable"):
        Architecture("residual", {**WIDE, "block": "dense"}, 90.0, (1, 28, 28)).build()


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_pruned_networks_are_resized(tmp_path: Path, network: str, *, folded: bool) -> None:
    """Channels go from every network, traced ones too, and its recorded sizes rebuild it to the same outputs."""
    architecture = NETWORKS[network]
    module = trained(architecture)
    if folded:
        module, architecture = fold_batch_norm(module), architecture.with_edits({"edit": "fold_batch_norm"})
    pruned = thinner(module, 0.6)
    save_model(tmp_path, pruned, architecture.with_edits({"edit": "resize", "sizes": layer_sizes(pruned)}))
    assert torch.equal(load_model(tmp_path)[0](images()), pruned(images()))
    depthwise = [layer for layer in pruned.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    assert all(layer.groups == layer.in_channels == layer.out_channels for layer in depthwise)
    assert len(depthwise) == (8 if network == "separable" else 0)


def test_resizing_keeps_what_is_not_size() -> None:
    """A resized layer without bias stays without, and a batch norm keeps its epsilon."""
    module = nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4, eps=0.5), nn.Linear(4, 2, bias=False))
    resize(module, {"1": {"num_features": 2}, "2": {"in_features": 2, "out_features": 2}})
    assert module[1].eps == 0.5
    assert module[2].bias is None
    assert module[2].weight.shape == (2, 2)


@pytest.mark.parametrize("network", NETWORKS)
def test_steps_stack(tmp_path: Path, network: str) -> None:
    """Dropped, factorised, pruned, folded and made integer, a network is loaded to the same outputs."""
    module, architecture = trained(NETWORKS[network]), NETWORKS[network]
    names = least_harmful(module, images(), 1)
    module = fold_pixel_scale(drop_layers(module, names))
    edits = [{"edit": "drop_layers", "names": names}, {"edit": "fold_pixel_scale"}]
    ranks = ranks_for(module, architecture.example(), 0.6)
    pruned = thinner(low_rank(module, ranks), 0.8)
    whole = integer_weights(fold_batch_norm(pruned), 8)
    edits += [{"edit": "factorise", "ranks": ranks}, {"edit": "resize", "sizes": layer_sizes(pruned)}]
    edits += [{"edit": "fold_batch_norm"}, {"edit": "integer_weights", "bits": 8}]
    save_model(tmp_path, whole, architecture.with_edits(*edits))
    assert torch.equal(load_model(tmp_path)[0](images()), whole.eval()(images()))
    assert {edit["edit"] for edit in edits} <= set(EDITS)
