"""Pruning: which weights and channels go, which stay, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from stillhouse.models.compression.cost import macs_and_parameters
from stillhouse.models.compression.edits import layer_sizes
from stillhouse.models.compression.pruning.channels import Selection, Target, prune_channels, prune_in_rounds
from stillhouse.models.compression.pruning.weights import (
    LowestScores,
    magnitude,
    make_permanent,
    movement,
    prunable,
    prune_pattern,
    prune_weights,
)
from stillhouse.models.errors import DivergedError, ModelError
from stillhouse.models.training.checkpoint import Architecture
from stillhouse.models.training.loop import Batch, TrainConfig, fit

RESIDUAL = Architecture("residual", {"stem": 16, "widths": [32, 32], "strides": [2, 1], "pool": 7}, 90.0, (1, 28, 28))
MAGNITUDE = Selection("magnitude", 8)


def linear(*rows: list[float]) -> nn.Linear:
    layer = nn.Linear(len(rows[0]), len(rows), bias=False)
    layer.weight.data = torch.tensor(rows)
    return layer


def two_layers() -> nn.Sequential:
    """Two layers whose weights have sizes of their own: 0.1 to 0.4, and 1 to 4."""
    return nn.Sequential(linear([0.1, -0.2], [0.3, -0.4]), linear([-1.0, 2.0], [-3.0, 4.0]))


def weights(module: nn.Module) -> list[list[list[float]]]:
    rounded = [layer.weight.detach().double() for layer in prunable(module).values()]
    return [[[round(value, 4) for value in row] for row in layer.tolist()] for layer in rounded]


def share_of_macs(most: float, module: nn.Module) -> Target:
    whole, _ = macs_and_parameters(module, RESIDUAL.example())
    unit = "{:.0%} of the multiply-accumulates"
    return Target("macs", most, unit, lambda left: macs_and_parameters(left, RESIDUAL.example())[0] / whole)


@pytest.mark.parametrize(
    ("scope", "sparsity", "left"),
    [
        ("global", 0.25, [[[0.0, 0.0], [0.3, -0.4]], [[-1.0, 2.0], [-3.0, 4.0]]]),
        ("layer", 0.25, [[[0.0, -0.2], [0.3, -0.4]], [[0.0, 2.0], [-3.0, 4.0]]]),
        ("layer", 0.5, [[[0.0, 0.0], [0.3, -0.4]], [[0.0, 0.0], [-3.0, 4.0]]]),
    ],
)
def test_the_smallest_weights_go(scope: str, sparsity: float, left: list[list[list[float]]]) -> None:
    """Magnitude takes the smallest weights of all layers together, or of each layer, and leaves no mask behind."""
    module = two_layers()
    zero = prune_weights(module, magnitude(module), sparsity, scope)
    assert make_permanent(module) == zero == 8 * sparsity
    assert weights(module) == left
    assert not list(module.buffers())


def test_an_emptied_layer_is_refused() -> None:
    """Sparsity that would zero every weight of a layer is refused with the layer's name and the remedy."""
    module = two_layers()
    with pytest.raises(ModelError, match=r"sparsity 0\.5 would empty layer '0'; lower sparsity or use the scope 'lay"):
        prune_weights(module, magnitude(module), 0.5, "global")


def test_pruning_that_changes_nothing_is_refused() -> None:
    """Weights that are zero already go first, so pruning to the same sparsity again changes nothing and is an error."""
    module = two_layers()
    prune_weights(module, magnitude(module), 0.25, "global")
    make_permanent(module)
    with pytest.raises(ModelError, match=r"changed no weight .* sparsity 0\.25; raise it or remove the step"):
        prune_weights(module, magnitude(module), 0.25, "global")


def test_movement_sums_weight_times_gradient_while_the_weights_move() -> None:
    """The score is -sum(w * g): with w = (1, -2), g = (1, 1) and step 0.5 it is -(1, -2) - (0.5, -2.5)."""
    module = linear([1.0, -2.0, 0.0])
    batches = [(torch.ones(1, 3),)] * 2
    scores = movement(module, batches, lambda model, batch: model(batch[0]).sum(), 0.5)
    assert scores[""].tolist() == [[-1.5, 4.5, -torch.inf]]
    assert module.weight.tolist() == [[1.0, -2.0, 0.0]]


def test_movement_keeps_what_grows_and_drops_what_shrinks() -> None:
    """A large weight on its way to zero goes before a small one that grows."""
    module = nn.Sequential(linear([3.0, -0.1]))
    scores = movement(module, [(torch.ones(1, 2),)], lambda model, batch: model(batch[0]).sum(), 0.1)
    prune_weights(module, scores, 0.5, "global")
    make_permanent(module)
    assert weights(module) == [[[0.0, -0.1]]]


def test_movement_that_diverges_is_refused() -> None:
    """Scores that are not numbers are a divergence with the remedy."""
    objective = lambda model, batch: model(batch[0]).exp().sum()  # noqa: E731 - a loss that explodes
    with pytest.raises(DivergedError, match=r"movement scores became .*lower the recovery's learning rate \(now 9\.0"):
        movement(linear([1.0]), [(torch.ones(1, 1) * 99,)] * 3, objective, 9.0)


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("2:4", [[0.0, 5.0, -3.0, 0.0, 0.0, 0.0, 6.0, -7.0, 0.5]]),
        ("1:4", [[0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, -7.0, 0.5]]),
        ("1:2", [[0.0, 5.0, -3.0, 0.0, -4.0, 0.0, 0.0, -7.0, 0.5]]),
        ("8:9", [[1.0, 5.0, -3.0, 2.0, -4.0, 3.5, 6.0, -7.0, 0.0]]),
    ],
)
def test_a_pattern_keeps_n_of_every_m_weights(pattern: str, left: list[list[float]]) -> None:
    """Of every M consecutive weights of a row the N largest stay, and so does what is left over at its end."""
    module = nn.Sequential(linear([1.0, 5.0, -3.0, 2.0, -4.0, 3.5, 6.0, -7.0, 0.5]))
    prune_pattern(module, magnitude(module), pattern)
    make_permanent(module)
    assert weights(module) == [left]


def test_a_convolutions_rows_run_over_its_inputs() -> None:
    """2:4 on a convolution zeroes half of each output's weights, counted over inputs, height and width."""
    module = nn.Sequential(nn.Conv2d(4, 3, 3))
    assert prune_pattern(module, magnitude(module), "2:4") == 3 * 36 // 2
    rows_OL = (module[0].weight.flatten(1) != 0).reshape(3, 9, 4).sum(2)
    assert rows_OL.unique().tolist() == [2]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [("4:4", "4:4 keeps every weight; make its first number smaller"), ("2:4", "changed no weight .*keep fewer")],
)
def test_a_pattern_without_effect_is_refused(pattern: str, sentence: str) -> None:
    """A pattern that keeps all, or whose M is longer than every row, is an error."""
    module = two_layers()
    with pytest.raises(ModelError, match=sentence):
        prune_pattern(module, magnitude(module), pattern)


class Pairs:
    """Thirty-two points on a line through four inputs, in one order for ever."""

    def batches_per_epoch(self, batch_size: int) -> int:
        return 32 // batch_size

    def epoch(self, epoch: int, batch_size: int) -> Iterator[Batch]:
        inputs_NI = torch.randn(32, 4, generator=torch.Generator().manual_seed(epoch))
        yield from zip(inputs_NI.split(batch_size), (inputs_NI.sum(1, keepdim=True)).split(batch_size), strict=True)


class Quiet:
    """A watcher who keeps nothing, and ends the training at one epoch's end when told so."""

    def __init__(self, last: int) -> None:
        self.last = last

    def progress(self, line: str) -> None:
        assert line

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        assert metrics
        if step == self.last:
            raise InterruptedError


def masked() -> nn.Module:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    prune_weights(module, magnitude(module), 0.5, "layer")
    return module


def recovered(checkpoint: Path, last: int = -1) -> nn.Module:
    module = masked()
    plan = TrainConfig(4, 8, 0.05, 0.001, "sgd", "fp32", 0.2, 1)
    loss = lambda model, batch: functional.mse_loss(model(batch[0]), batch[1])  # noqa: E731 - an objective
    fit(module, Pairs(), loss, plan, checkpoint=checkpoint, score=lambda _: 0.0, watcher=Quiet(last))
    return module


def test_masks_stay_on_through_training_and_a_kill(tmp_path: Path) -> None:
    """Training moves the weights that stay and none that went, also when it was killed and taken up again."""
    mask = [layer.weight == 0 for layer in prunable(masked()).values()]
    undisturbed = recovered(tmp_path / "a.safetensors")
    with pytest.raises(InterruptedError):
        recovered(tmp_path / "b.safetensors", last=3)
    resumed = recovered(tmp_path / "b.safetensors")
    assert make_permanent(undisturbed) == make_permanent(resumed) == 20
    assert not torch.equal(undisturbed[0].weight, masked()[0].weight)
    for one, other, gone in zip(prunable(undisturbed).values(), prunable(resumed).values(), mask, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.weight == 0, gone)
        assert isinstance(one.weight, nn.Parameter)


def test_the_lowest_scores_are_masked() -> None:
    """The mask has zeros at the lowest scores only, negative ones first."""
    mask = LowestScores(0.5).compute_mask(torch.tensor([-5.0, 1.0, -1.0, 2.0]), torch.ones(4))
    assert mask.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_pruned_channels_are_gone() -> None:
    """Structured pruning meets its target in multiply-accumulates, keeps the outputs, and leaves the original."""
    module = RESIDUAL.build_seeded(1)
    target = share_of_macs(0.7, module)
    pruned = prune_channels(module, RESIDUAL.example(), target, MAGNITUDE)
    assert target.measure(pruned) <= 0.7
    assert pruned(RESIDUAL.example(3)).shape == (3, 10)
    assert target.measure(module) == 1
    assert all(size["out_channels"] % 8 == 0 for size in layer_sizes(pruned).values() if "out_channels" in size)


def weights_left(module: nn.Module) -> float:
    return float(sum(parameter.numel() for parameter in module.parameters()))


def test_any_measure_can_be_the_target() -> None:
    """The first small round whose measure is at the target or below ends the pruning."""
    module = RESIDUAL.build_seeded(1)
    seen: list[float] = []

    def measure(left: nn.Module) -> float:
        seen.append(weights_left(left))
        return seen[-1]

    pruned = prune_channels(module, RESIDUAL.example(), Target("bytes", 12_000, "{:.0f} bytes", measure), MAGNITUDE)
    assert weights_left(pruned) == seen[-1] <= 12_000 < min(seen[:-1])
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(
    ("most", "sentence"),
    [
        (10, r"cannot reach 10 bytes with channels in multiples of 16; the nearest is \d+ bytes: raise bytes or lower"),
        (10**6, r"the model is at \d+ bytes already; lower bytes or remove the step"),
    ],
)
def test_a_target_out_of_reach_names_the_nearest(most: float, sentence: str) -> None:
    """A target that rounding forbids, or that is met already, is refused with where the model is, in its unit."""
    target = Target("bytes", most, "{:.0f} bytes", weights_left)
    with pytest.raises(ModelError, match=sentence):
        prune_channels(RESIDUAL.build_seeded(1), RESIDUAL.example(), target, Selection("magnitude", 16))


def test_no_layer_is_emptied() -> None:
    """Where rounding leaves a layer no smaller size, pruning stops before it has none."""
    narrow = Architecture("residual", {"stem": 8, "widths": [8], "strides": [2], "pool": 7}, 90.0, (1, 28, 28))
    with pytest.raises(ModelError, match=r"the nearest is \d+ bytes"):
        prune_channels(
            narrow.build_seeded(1), narrow.example(), Target("bytes", 10, "{:.0f} bytes", weights_left), MAGNITUDE
        )


def test_lamp_compares_channels_of_different_layers() -> None:
    """LAMP thins the layers unevenly, magnitude takes the same share of each."""
    module = RESIDUAL.build_seeded(1)
    module.get_parameter("1.blocks.1.conv1.weight").data *= 0.01
    shares = {}
    for importance in ("magnitude", "lamp"):
        pruned = prune_channels(module, RESIDUAL.example(), share_of_macs(0.6, module), Selection(importance, 2))
        sizes = layer_sizes(pruned)
        shares[importance] = [sizes[f"1.{name}"]["out_channels"] for name in ("blocks.0.conv1", "blocks.1.conv1")]
    assert shares["magnitude"][0] == shares["magnitude"][1]
    assert shares["lamp"][0] != shares["lamp"][1]


def test_taylor_sees_the_loss() -> None:
    """A channel without influence on the loss goes first by Taylor, whatever its magnitude."""
    module = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    module[2].weight.data[:, 1] = 0
    module[0].weight.data[1] = 9
    module[0].bias.data += 10
    fill = lambda left: left(torch.ones(4, 2)).sum().backward()  # noqa: E731 - a caller's gradients
    target = Target("weights", weights_left(module) - 1, "{:.0f}", weights_left)
    pruned = prune_channels(module, torch.ones(1, 2), target, Selection("taylor", 1, fill))
    assert module[0].weight[1].tolist() not in pruned[0].weight.tolist()
    assert len(pruned[0].weight) == 3


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_rounds_go_to_the_target_in_equal_parts(rounds: int) -> None:
    """Each part takes the next equal share of the way and is followed by a recovery."""
    module = RESIDUAL.build_seeded(1)
    target = share_of_macs(0.6, module)
    reached: list[float] = []

    def recover(pruned: nn.Module, part: int) -> nn.Module:
        reached.append(target.measure(pruned))
        assert len(reached) == part
        return pruned

    prune_in_rounds(module, RESIDUAL.example(), target, Selection("magnitude", 2), rounds, recover)
    goals = {1: [0.6], 2: [0.8, 0.6], 4: [0.9, 0.8, 0.7, 0.6]}[rounds]
    assert len(reached) == rounds
    assert all(goal - 0.1 < share <= goal + 1e-9 for share, goal in zip(reached, goals, strict=True))


def test_a_file_is_timed_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The timing process answers with milliseconds of one call on one raw input."""
    onnx = pytest.importorskip("onnx")
    shape = ["N", 1, 8, 8]
    given = onnx.helper.make_tensor_value_info("images_NCHW", onnx.TensorProto.UINT8, shape)
    answer = onnx.helper.make_tensor_value_info("logits_NK", onnx.TensorProto.FLOAT, shape)
    cast = onnx.helper.make_node("Cast", ["images_NCHW"], ["logits_NK"], to=onnx.TensorProto.FLOAT)
    graph = onnx.helper.make_graph([cast], "cast", [given], [answer])
    opset = [onnx.helper.make_opsetid("", 20)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "model.onnx")
    np.save(tmp_path / "input.npy", np.zeros((1, 1, 8, 8), np.uint8))
    request = {"file": str(tmp_path / "model.onnx"), "input": str(tmp_path / "input.npy")}
    (tmp_path / "request.json").write_text(json.dumps(request), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "stillhouse.models.measurement.quick_latency",
        str(tmp_path / "request.json"),
        str(tmp_path / "answer.json"),
    ]
    subprocess.run(command, check=True)
    assert 0 < json.loads((tmp_path / "answer.json").read_text(encoding="utf-8"))["milliseconds"] < 5
