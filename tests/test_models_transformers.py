"""Image classifiers of transformers: read from a folder, they answer as the library does, and every method applies."""

import copy
import functools
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from data_samples import built_digits
from torch import Tensor, nn
from transformers_samples import DIGITS, SIDE, SQUARE, save_classifier, save_processor

from stillhouse.models.compression.cost import macs_and_parameters
from stillhouse.models.compression.depth import drop_edit, drop_layers, droppable, least_harmful
from stillhouse.models.compression.edits import layer_sizes
from stillhouse.models.compression.fold import fold_batch_norm, fold_pixel_scale
from stillhouse.models.compression.pruning.channels import Selection, Target, prune_channels
from stillhouse.models.compression.quantization.quantize import integer_weights
from stillhouse.models.data.images import load_images
from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.image_classifier import adopt_classifier, derive
from stillhouse.models.families.image_processor import TOLERANCE, read_preparation
from stillhouse.models.inspection.source import find_source
from stillhouse.models.networks.library.preparation import Preparation
from stillhouse.models.onnx.export import export_float, export_model
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.training.checkpoint import load_model, save_model

KINDS = ("resnet", "vit", "convnext", "mobilenet_v2")
STATIC = {"activations": "static", "calibration": "minmax", "keep_float": []}


@functools.cache
def folder_of(kind: str, labels: tuple[str, ...] = DIGITS) -> Path:
    """Save a tiny classifier once; treat the folder as read-only."""
    return save_classifier(Path(tempfile.mkdtemp()) / kind, kind, labels)


@functools.cache
def adopted(kind: str, labels: tuple[str, ...] = DIGITS) -> Adopted:
    """Read a tiny classifier once; treat it as read-only."""
    return adopt_classifier(find_source(folder_of(kind, labels)), built_digits())


def images(count: int = 32) -> Tensor:
    return torch.from_numpy(load_images(built_digits(), "train").images_NCHW[:count])


def library_logits(folder: Path, images_NCHW: Tensor) -> Tensor:
    """Ask the library's own processor and model."""
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model, processor = (each.from_pretrained(folder) for each in (AutoModelForImageClassification, AutoImageProcessor))
    coloured = [image.expand(3, -1, -1).permute(1, 2, 0).numpy() for image in images_NCHW]
    pixels = processor(coloured, return_tensors="pt", input_data_format="channels_last")["pixel_values"]
    with torch.no_grad():
        return model(pixel_values=pixels.float()).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_answers_as_the_library_does(kind: str) -> None:
    """The weights of a folder give the library's own logits for the prepared pixels."""
    from transformers import AutoModelForImageClassification

    module = adopted(kind).module
    model = AutoModelForImageClassification.from_pretrained(folder_of(kind))
    with torch.no_grad():
        expected_NK = model(pixel_values=module.get_submodule("1.preparation")(images().float())).logits
        assert torch.allclose(module(images().float()), expected_NK, atol=1e-4)
    assert expected_NK.std(0).min() > 0


@pytest.mark.parametrize("kind", ["resnet", "vit", "convnext"])
def test_raw_pixels_give_the_logits_of_prepared_pictures(kind: str) -> None:
    """The rounding of resized pixels, which the library does and the graph does not, hardly moves the logits."""
    expected_NK = library_logits(folder_of(kind), images())
    given_NK = adopted(kind).module(images().float())
    assert (given_NK - expected_NK).abs().max() < 0.02 * expected_NK.std()


def test_what_is_assumed_is_said() -> None:
    """Grey pictures for a model of colours are repeated, and a note says so."""
    (note,) = adopted("resnet").notes
    assert note == "the pictures are grey and the model expects 3 channels; the grey channel is repeated"


def test_labels_in_another_order_are_mapped_by_name() -> None:
    """The logits of a model whose labels stand in another order come in the order of the data's labels."""
    turned = tuple(reversed(DIGITS))
    found = adopted("resnet", turned)
    assert found.architecture.arguments["order"] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert torch.equal(found.module(images().float()).flip(1), adopted("resnet").module(images().float()))


def test_labels_without_names_are_taken_in_order(tmp_path: Path) -> None:
    """The library's placeholders LABEL_0, LABEL_1 ... are the data's labels, and a note says so."""
    folder = save_classifier(tmp_path, "resnet", [f"LABEL_{number}" for number in range(10)])
    found = adopt_classifier(find_source(folder), built_digits())
    assert found.notes[0] == (
        "config.json names no labels; assumed the order of the data: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    )


@pytest.mark.parametrize(
    ("kind", "shape", "processor"),
    [
        ("vit", (1, 8, 8), SQUARE),
        ("vit", (3, 28, 28), {"size": {"height": 28, "width": 28}, "do_rescale": False}),
        ("vit", (3, 96, 64), SQUARE),
        ("vit", (1, 28, 28), SQUARE | {"resample": 3, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.9, 1.0, 2.0]}),
        ("vit", (3, 28, 28), SQUARE | {"do_center_crop": True, "crop_size": {"height": 24, "width": 20}}),
        ("vit", (3, 28, 28), SQUARE | {"do_center_crop": True, "crop_size": {"height": 37, "width": 40}}),
        ("vit", (3, 28, 28), {"do_resize": False, "do_normalize": False}),
        ("vit", (3, 40, 30), {"size": {"shortest_edge": 20}}),
        ("convnext", (3, 28, 28), {"size": {"shortest_edge": 32}}),
        ("convnext", (3, 64, 48), {"size": {"shortest_edge": 384}}),
    ],
)
def test_pixels_are_prepared_as_the_library_does(
    tmp_path: Path, kind: str, shape: tuple[int, ...], processor: dict[str, Any]
) -> None:
    """Resized, cropped and scaled pictures differ by two levels of 256 at most."""
    from transformers import AutoImageProcessor

    save_processor(tmp_path, kind, processor)
    picture_HWC = np.random.default_rng(1).integers(0, 256, (*shape[1:], 3), dtype=np.uint8)
    if shape[0] == 1:
        picture_HWC = np.repeat(picture_HWC[..., :1], 3, 2)
    library = AutoImageProcessor.from_pretrained(tmp_path)(picture_HWC, return_tensors="pt")["pixel_values"]
    arguments = read_preparation(tmp_path, shape, 3)
    ours = Preparation(**arguments)(torch.from_numpy(picture_HWC[..., : shape[0]]).permute(2, 0, 1)[None].float())
    scale_C11 = torch.tensor(arguments["scale"])[:, None, None]
    assert ((ours - library) / scale_C11).abs().max() <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_in_place_is_replayed(tmp_path: Path, kind: str) -> None:
    """A layer fewer, fewer channels, folded and integer: a classifier is loaded to the same outputs."""
    module, architecture = copy.deepcopy(adopted(kind).module), adopted(kind).architecture
    names = least_harmful(module, images(16), 1)
    edits: list[dict[str, Any]] = [drop_edit(module, architecture.example(), names)]
    module = thinner(drop_layers(module, names), architecture.example())
    edits += [{"edit": "resize", "sizes": layer_sizes(module)}]
    edits += [{"edit": "fold_pixel_scale"}, {"edit": "fold_batch_norm"}, {"edit": "integer_weights", "bits": 8}]
    module = integer_weights(fold_batch_norm(fold_pixel_scale(module)), 8)
    save_model(tmp_path, module, architecture.with_edits(*edits))
    assert torch.equal(load_model(tmp_path)[0](images().float()), module.eval()(images().float()))
    assert parameters(module) < 0.9 * parameters(adopted(kind).module)


def thinner(module: nn.Module, example: Tensor) -> nn.Module:
    whole = macs_and_parameters(module, example)[0]
    target = Target("macs", 0.7, "{:.0%}", lambda left: macs_and_parameters(left, example)[0] / whole)
    return prune_channels(module, example, target, Selection("magnitude", 4))


def parameters(module: nn.Module) -> int:
    return macs_and_parameters(module, adopted("resnet").architecture.example())[1]


@pytest.mark.parametrize("kind", ["resnet", "mobilenet_v2"])
def test_batch_norms_are_folded(kind: str) -> None:
    """No batch norm is left, and the logits stay."""
    module = adopted(kind).module
    folded = fold_batch_norm(module)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
    assert torch.allclose(folded(images().float()), module(images().float()), atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "stack", "count"),
    [("resnet", "encoder.stages", 4), ("vit", "layers", 3), ("convnext", "encoder.stages", 4)],
)
def test_blocks_of_the_library_can_be_dropped(kind: str, stack: str, count: int) -> None:
    """Blocks of equal form in the library's lists of layers can be dropped; a whole stage cannot."""
    names = droppable(adopted(kind).module, adopted(kind).architecture.example())
    assert len(names) == count
    assert all(name.startswith(f"1.model.{kind}.{stack}.") for name in names)


def test_a_student_of_the_family_is_narrower() -> None:
    """A student's configuration names only what differs from the teacher's."""
    teacher = adopted("resnet").architecture
    student = derive(teacher, {"config": {"hidden_sizes": [8, 16], "depths": [1, 1]}})
    module = student.build_seeded(1)
    assert module(images().float()).shape == (32, 10)
    assert student.arguments["preparation"] == teacher.arguments["preparation"]
    assert parameters(module) < 0.25 * parameters(adopted("resnet").module)


@pytest.mark.parametrize(("kind", "at_most"), [("resnet", 0.36), ("vit", 0.42)])
def test_the_exported_graph_is_small_and_answers_alike(tmp_path: Path, kind: str, at_most: float) -> None:
    """Grey bytes go in; no operator handles masks or shapes in a loop; integers take about a third of the bytes."""
    module, architecture = adopted(kind).module, adopted(kind).architecture
    export_float(fold_batch_norm(module), architecture, tmp_path / "float.onnx")
    counts = Counter(node.op_type for node in onnx.load(tmp_path / "float.onnx").graph.node)
    assert not counts.keys() & {"Where", "IsNaN", "Loop", "If", "BatchNormalization", "Div"}
    assert (counts["MatMul"], counts["Softmax"]) == ((2, 0) if kind == "resnet" else (26, 3))
    whole = integer_weights(fold_batch_norm(fold_pixel_scale(copy.deepcopy(module))), 8)
    export_model(whole, replace(architecture, quantization=STATIC), images(100).numpy(), tmp_path / "int8.onnx")
    expected_NK = module(images().float()).detach().numpy()
    for name, tolerance in (("float", 1e-4), ("int8", 0.4)):
        given_NK = predict(open_session(tmp_path / f"{name}.onnx"), images().numpy())
        assert np.abs(given_NK - expected_NK).max() < tolerance * expected_NK.std()
    sizes = [(tmp_path / f"{name}.onnx").stat().st_size for name in ("int8", "float")]
    assert sizes[0] < at_most * sizes[1]
    assert SIDE == 32


class Told(nn.Module):
    """A block of the older form: it takes more arguments, and returns a tuple."""

    def __init__(self, factor: float) -> None:
        """Multiply by a factor."""
        super().__init__()
        self.linear = nn.Linear(3, 3, bias=False)
        self.linear.weight.data = factor * torch.eye(3)

    def forward(self, inputs_NI: Tensor, size: tuple[int, int], *, wanted: bool) -> tuple[Tensor, None]:
        """Map (N, 3) to (N, 3)."""
        assert size == (1, 1)
        assert not wanted
        return self.linear(inputs_NI), None


class Stack(nn.Module):
    """A network with such blocks."""

    def __init__(self) -> None:
        """Build three blocks."""
        super().__init__()
        self.layers = nn.ModuleList([Told(2.0), Told(-1.0), Told(1.0)])

    def forward(self, inputs_NI: Tensor) -> Tensor:
        """Map (N, 3) to (N, 3)."""
        for layer in self.layers:
            inputs_NI = layer(inputs_NI, (1, 1), wanted=False)[0]
        return inputs_NI


def test_a_dropped_block_returns_what_it_returned() -> None:
    """A block that returns a tuple leaves a place that returns one, and the edit notes its length."""
    module, inputs_NI = Stack(), torch.randn(16, 3, generator=torch.Generator().manual_seed(2))
    names = least_harmful(module, inputs_NI, 1)
    edit = drop_edit(module, inputs_NI[:1], names)
    assert edit == {"edit": "drop_layers", "names": ["layers.2"], "tuples": {"layers.2": 2}}
    before = module(inputs_NI)
    assert torch.equal(drop_layers(module, names, edit["tuples"])(inputs_NI), before)


def test_batch_norms_that_share_their_convolution_stay() -> None:
    """A convolution that another layer reads too cannot take over a batch norm."""
    from stillhouse.models.compression.fold_watched import fold_watched

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)

        def forward(self, images_NCHW: Tensor) -> Tensor:
            made = self.convolution(images_NCHW)
            return self.norm(made) + made

    network = Shared()
    network.norm.running_mean += 3.0  # type: ignore[operator]
    with pytest.raises(ModelError, match=r"cannot be folded, as others read their convolutions; leave fold out"):
        fold_watched(nn.Sequential(network), network, torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_counted(kind: str) -> None:
    """Vectors of places and scales of layers, which stand alone, count among the parameters."""
    module = adopted(kind).module
    assert parameters(module) == sum(parameter.numel() for parameter in module.parameters())


def test_a_network_that_cannot_lose_channels_is_refused() -> None:
    """Torch's own error becomes a sentence with the methods that apply."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(16, 16), nn.Linear(4, 16), nn.Linear(16, 2)

        def forward(self, inputs_NI: Tensor) -> Tensor:
            return self.head(self.second(self.first(inputs_NI).view(-1, 4, 4)).mean(1))

    module, example = Fixed(), torch.zeros(1, 16)
    target = Target("macs", 0.5, "{:.0%}", lambda left: float(len(left(example))))
    with pytest.raises(ModelError, match=r"not run without some of its channels \(.*\); remove prune_structured"):
        prune_channels(module, example, target, Selection("magnitude", 4))
