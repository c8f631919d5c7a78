"""Smoothed inputs of linear layers: the answers stay, and rounding costs less."""

from pathlib import Path

import onnx
import pytest
import torch
from encoder_folders import write_encoder
from text_samples import sentences
from torch import Tensor, nn

from stillhouse.models.compression.quantization.quantize import quantizable
from stillhouse.models.compression.quantization.rounded_inputs import round_dynamically, round_inputs
from stillhouse.models.compression.quantization.smoothing import SmoothedLinear, smooth_inputs
from stillhouse.models.families.bert import adopt_bert
from stillhouse.models.inspection.source import find_source
from stillhouse.models.onnx.export import export_float
from stillhouse.models.runtime.tokens import Tokenizer
from stillhouse.models.training.checkpoint import Architecture, load_model, save_model

TEXTS = sentences(40)


class Pair(nn.Module):
    """Two layers that read one input, and one that reads their sum."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right, self.last = nn.Linear(8, 16), nn.Linear(8, 16, bias=False), nn.Linear(16, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(torch.sigmoid(self.left(inputs) + self.right(inputs)))


def uneven(count: int = 64) -> Tensor:
    inputs = torch.randn(count, 3, 8, generator=torch.Generator().manual_seed(1))
    inputs[..., 0] *= 40
    return inputs


def test_the_layers_of_an_uneven_input_are_smoothed_together() -> None:
    """Both readers of the uneven input get the same factors; the even input of the last layer stays."""
    module = Pair()
    assert smooth_inputs(module, uneven()) == ["left", "right"]
    assert torch.equal(module.left.inverse_I, module.right.inverse_I)
    assert type(module.last) is nn.Linear


def test_a_smoothed_model_answers_as_before() -> None:
    """In floats only the last digits differ."""
    before, after = Pair(), Pair()
    smooth_inputs(after, uneven())
    assert torch.allclose(before(uneven(8)), after(uneven(8)), atol=1e-5)


def test_rounding_costs_less_after_smoothing() -> None:
    """The layer's error from rounded inputs falls to less than a third."""
    inputs, plain, smoothed = uneven(), Pair(), Pair()
    smooth_inputs(smoothed, inputs)
    wanted = plain.left(inputs)
    errors = []
    for module in (plain, smoothed):
        with round_inputs(module, ["left"]):
            errors.append((module.left(inputs) - wanted).pow(2).mean().item())
    assert errors[1] < errors[0] / 3


def test_a_smoothed_layer_is_rounded_after_its_product() -> None:
    """In training the rounding is where the runtime rounds."""
    layer = SmoothedLinear(4, 2)
    layer.inverse_I.copy_(torch.tensor([0.1, 1.0, 2.0, 1.0]))
    inputs = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(2))
    with round_inputs(nn.ModuleDict({"layer": layer}), ["layer"]), torch.no_grad():
        found = layer(inputs)
    wanted = nn.functional.linear(round_dynamically(inputs * layer.inverse_I), layer.weight, layer.bias)
    assert torch.allclose(found, wanted, atol=1e-5)


@pytest.fixture
def encoder(tmp_path: Path) -> tuple[nn.Module, Architecture, Tensor]:
    adopted = adopt_bert(find_source(write_encoder(tmp_path / "bert", TEXTS)))
    (tmp_path / "tokenizer.json").write_bytes(adopted.files["tokenizer.json"])
    return adopted.module, adopted.architecture, torch.from_numpy(Tokenizer(tmp_path / "tokenizer.json").ids_of(TEXTS))


def test_a_smoothed_encoder_is_saved_and_loaded(
    tmp_path: Path, encoder: tuple[nn.Module, Architecture, Tensor]
) -> None:
    """The edit names the layers, the state has their numbers, and the names of the layers stay."""
    module, architecture, ids_NT = encoder
    names = quantizable(module)
    layers = smooth_inputs(module, ids_NT)
    assert quantizable(module) == names
    save_model(tmp_path / "saved", module, architecture.with_edits({"edit": "smoothed_linear", "layers": layers}))
    assert torch.equal(load_model(tmp_path / "saved")[0](ids_NT), module.eval()(ids_NT))


def test_layers_with_one_input_share_its_product_in_the_file(
    tmp_path: Path, encoder: tuple[nn.Module, Architecture, Tensor]
) -> None:
    """Query, key and value read one product, so that the runtime multiplies and rounds their input once."""
    module, architecture, ids_NT = encoder
    layers = [name for name in smooth_inputs(module, ids_NT) if "attention" in name]
    if not layers:
        pytest.fail("the sample encoder has no uneven attention input")
    export_float(module, architecture, tmp_path / "model.onnx")
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    names = {node.output[0] for node in nodes if node.op_type == "Mul"}
    read = [name for node in nodes if node.op_type == "MatMul" for name in node.input if name in names]
    assert len(read) > len(set(read))
