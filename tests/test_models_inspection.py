"""A user's model is looked at without running it: what it is, what it consists of, and what a wrong one is told."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.inspect import inspect_model
from stillhouse.models.inspection.source import LARGEST_CONFIG, find_source
from stillhouse.models.inspection.speed import FORMS, SIDE, Product, Speed, _model, products_of, time_products
from stillhouse.models.measurement.statistics import Interval
from stillhouse.models.runtime.session import open_session

BERT = {"architectures": ["BertForSequenceClassification"], "model_type": "bert"}


def tensors(blocks: int = 3) -> dict[str, np.ndarray]:
    """Give a small BERT's tensors: two tables, blocks of one form, a head, and an index that is no parameter."""
    found: dict[str, np.ndarray] = {
        "bert.embeddings.word_embeddings.weight": np.zeros((100, 64), np.float32),
        "bert.embeddings.position_ids": np.zeros((1, 16), np.int64),
    }
    for block in range(blocks):
        found[f"bert.encoder.layer.{block}.output.dense.weight"] = np.zeros((64, 128), np.float32)
        found[f"bert.encoder.layer.{block}.output.dense.bias"] = np.zeros(64, np.float32)
    return found | {"classifier.weight": np.zeros((5, 64), np.float32)}


def saved(folder: Path, config: Any = BERT, **files: Any) -> Path:
    """Write a folder as `save_pretrained` does."""
    folder.mkdir(exist_ok=True)
    save_file(tensors(), folder / "model.safetensors")
    for name, content in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def graph(path: Path) -> Path:
    """Write an ONNX graph with a convolution, a MatMul whose weight is (I, O), a Gemm and a table."""
    weights = {
        "c": np.zeros((8, 3, 3, 3), np.float32),
        "d": np.zeros((8, 1, 3, 3), np.float32),
        "m": np.zeros((8, 20), np.float32),
        "g": np.zeros((4, 20), np.float32),
        "t": np.zeros((50, 16), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["a"]),
        helper.make_node("Conv", ["a", "d"], ["b"], group=8),
        helper.make_node("MatMul", ["v", "m"], ["e"]),
        helper.make_node("Gemm", ["e", "g"], ["y"], transB=1),
        helper.make_node("Gather", ["t", "i"], ["z"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8]),
        helper.make_tensor_value_info("v", TensorProto.FLOAT, ["N", 8]),
        helper.make_tensor_value_info("i", TensorProto.INT64, ["L"]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])]
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, stored)), path)
    return path


def test_a_folder_of_a_checkpoint_is_known(tmp_path: Path) -> None:
    """Task, classes, parameters without integers, components with their blocks, and kinds of layers are right."""
    found = inspect_model(saved(tmp_path / "mine"))
    assert (found.source.name, found.source.format, found.task) == ("mine", "transformers", "text-classification")
    assert found.parameters == 6_400 + 3 * (64 * 128 + 64) + 320
    assert found.bytes == 4 * found.parameters + 16 * 8
    assert [(part.name, part.parameters, part.blocks) for part in found.components] == [
        ("embeddings", 6_400, 0),
        ("encoder.layer", 3 * (64 * 128 + 64), 3),
        ("classifier", 320, 0),
    ]
    assert dict(found.operators) == {"linear": 4, "norm": 3, "embedding": 1}
    assert found.missing == ()


@pytest.mark.parametrize(
    ("config", "modules", "task"),
    [
        ({"architectures": ["ViTForImageClassification"], "model_type": "vit"}, [], "image-classification"),
        ({"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2"}, [], "speech-recognition"),
        ({"architectures": ["ASTForAudioClassification"], "model_type": "ast"}, [], "audio-classification"),
        ({"architecture": "resnet18", "num_classes": 10}, [], "image-classification"),
        ({"architectures": ["BertModel"]}, [{"type": "sentence_transformers.models.Pooling"}], "text-embedding"),
        ({"architectures": ["BertModel"]}, [], None),
        ({}, [], None),
    ],
)
def test_the_task_is_read_or_asked_for(tmp_path: Path, config: Any, modules: Any, task: str | None) -> None:
    """The configuration names the task; where it does not, the flag is asked for by name."""
    found = inspect_model(saved(tmp_path / "m", config, modules=modules))
    assert found.task == task
    assert found.missing == (() if task else ("--task",))


def test_a_graph_is_known(tmp_path: Path) -> None:
    """Kinds follow from the operator that takes the weight; a linear weight is shown as outputs by inputs."""
    found = inspect_model(graph(tmp_path / "net.onnx"))
    assert {layer.name: (layer.kind, layer.shape) for layer in found.layers} == {
        "c": ("convolution", (8, 3, 3, 3)),
        "d": ("depthwise", (8, 1, 3, 3)),
        "m": ("linear", (20, 8)),
        "g": ("linear", (4, 20)),
        "t": ("embedding", (50, 16)),
    }
    assert dict(found.operators) == {"Conv": 2, "MatMul": 1, "Gemm": 1, "Gather": 1}
    assert found.ends == [
        "input x float (N, 3, 8, 8)", "input v float (N, 8)", "input i int64 (L)", "output y float (N, 4)",
    ]  # fmt: skip


def test_each_method_says_whether_it_applies(tmp_path: Path) -> None:
    """A checkpoint is changed in place, a graph is not; a reason stands beside each."""
    in_place = {each.method: each for each in inspect_model(saved(tmp_path / "m")).methods}
    assert {name for name, each in in_place.items() if not each.applies} == {"fold"}
    assert in_place["drop_layers"].reason == "encoder.layer has 3 blocks of one form"
    assert "in int8 the file has 26% of its bytes" in in_place["quantize"].reason
    of_graph = {each.method: each for each in inspect_model(graph(tmp_path / "g.onnx")).methods}
    assert {name for name, each in of_graph.items() if each.applies} == {"quantize", "distil", "pack"}
    assert of_graph["prune_structured"].reason == "an onnx file cannot be trained in place; distil a student from it"


class Trap:
    """What a hostile checkpoint holds: opening it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how it is opened: by touching the file."""
        return Path.touch, (self.path,)


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    """A folder with pickled weights is refused with the way to convert it, and nothing in it has run."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    for path in (tmp_path / "m", tmp_path / "m" / "pytorch_model.bin"):
        with pytest.raises(ModelError, match=r"may be a pickle, .* save it with model\.save_pretrained\(folder\) or"):
            inspect_model(path)
    assert not (tmp_path / "sprung").exists()


def broken(folder: Path, name: str, content: bytes) -> Path:
    (saved(folder) / name).write_bytes(content)
    return folder


WRONG = {
    "hub id": (lambda _: Path("sentence-transformers/all-MiniLM"), "a hub id is not downloaded: fetch the model first"),
    "absent": (lambda folder: folder / "no" / "such" / "model.onnx", "is no file and no folder; name the folder or"),
    "empty": (lambda folder: folder, "has no model file; name a folder with .safetensors, .onnx"),
    "two graphs": (lambda folder: [graph(folder / f"{n}.onnx") for n in "ab"] and folder, r"has 2 models \(a.onnx, b"),
    "its own code": (
        lambda folder: saved(folder, BERT | {"auto_map": {"AutoModel": "modeling.py"}}),
        r"asks to run code of the model's author \(auto_map\), which is not run",
    ),
    "cut short": (lambda folder: broken(folder, "model.safetensors", b"\x10" * 9), "is no whole safetensors file"),
    "no JSON": (lambda folder: broken(folder, "config.json", b"{"), "config.json is no valid JSON"),
    "deep JSON": (lambda folder: broken(folder, "config.json", b"[" * 100_000), "config.json is no valid JSON"),
    "a list": (lambda folder: broken(folder, "config.json", b"[]"), "config.json is no JSON object; save"),
    "huge": (lambda folder: broken(folder, "config.json", b" " * (LARGEST_CONFIG + 1)), "too many for a configuration"),
    "no graph": (lambda folder: broken(folder, "x.onnx", b"hello") / "x.onnx", "is no whole ONNX file"),
    "empty graph": (lambda folder: broken(folder, "x.onnx", b"") / "x.onnx", "has no graph in it; export"),
    "other ending": (lambda folder: broken(folder, "x.pb", b"") / "x.pb", "ends with .pb, and a model file ends with"),
    "keras": (lambda folder: broken(folder, "x.keras", b"") / "x.keras", "cannot be read without TensorFlow; convert"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_model_is_told_in_one_sentence(tmp_path: Path, case: str) -> None:
    """Each wrong path names the thing and the remedy."""
    path_of, sentence = WRONG[case]
    with pytest.raises(ModelError, match=sentence) as error:
        inspect_model(path_of(tmp_path))
    assert "\n" not in str(error.value)


def test_a_shard_is_one_of_several_files(tmp_path: Path) -> None:
    """Weights in several safetensors files are one model."""
    saved(tmp_path / "m")
    save_file({"extra.weight": np.zeros((7, 64), np.float32)}, tmp_path / "m" / "model-00002.safetensors")
    assert len(find_source(tmp_path / "m").files) == 2
    assert inspect_model(tmp_path / "m").layers[0].name == "extra.weight"


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((1.1, 1.4), "faster"), ((0.9, 1.1), "no difference"), ((0.5, 0.9), "slower"), ((1.0, 1.2), "no difference")],
)
def test_the_interval_decides_what_is_said_of_int8(interval: Interval, verdict: str) -> None:
    """Int8 is called faster or slower only if the whole interval says so."""
    assert Speed(Product("linear", (8, 8), 1), 1.0, 1.0, 1.0, interval).verdict == verdict


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("linear", (48, 32)),
        ("convolution", (16, 8, 3, 3)),
        ("convolution", (8, 1, 3, 3)),
        ("depthwise", (8, 1, 3, 3)),
        ("convolution", (8, 3, 4, 4)),
    ],
)
def test_both_forms_of_a_shape_compute_the_same(tmp_path: Path, kind: str, shape: tuple[int, ...]) -> None:
    """The timed int8 graph gives what the fp32 graph gives on the same numbers, but for its rounding."""
    (nodes, weights, input_N), (other, stored, raw_N) = FORMS[kind](shape)
    assert input_N.shape[1] == {"linear": 32, "depthwise": 8}.get(kind, shape[1])
    if raw_N.dtype == np.uint8:
        input_N = ((raw_N.astype(np.float32) - 128) * 0.02).astype(np.float32)
    outputs = []
    for name, form in (("fp32", (nodes, weights, input_N)), ("int8", (other, stored, raw_N))):
        onnx.save(_model(*form), tmp_path / f"{name}.onnx")
        outputs.append(open_session(tmp_path / f"{name}.onnx").run(None, {"x": form[2]})[0].astype(np.float64).ravel())
    assert kind == "linear" or outputs[0].size == shape[0] * SIDE**2
    whole = np.clip(outputs[0], -2.56, 2.54) if raw_N.dtype == np.uint8 else outputs[0]  # uint8 ends there
    assert np.corrcoef(whole, outputs[1])[0, 1] > 0.97


def test_each_shape_is_timed_once(tmp_path: Path) -> None:
    """Layers of one shape are one product; its times are positive and its ratio lies in its interval."""
    products = products_of(inspect_model(saved(tmp_path / "m")).layers)
    assert products == [Product("linear", (64, 128), 3), Product("linear", (5, 64), 1)]
    (found,) = time_products(products[:1])
    assert min(found.fp32_ms, found.int8_ms) > 0
    assert found.interval[0] <= found.ratio <= found.interval[1]


@pytest.mark.parametrize(
    ("config", "grey"),
    [
        ({"num_channels": 1}, True),
        ({"num_channels": 3}, False),
        ({"architecture": "x", "pretrained_cfg": {"input_size": [1, 28, 28]}}, True),
        ({"architecture": "x", "model_args": {"in_chans": 1}}, True),
        ({"architecture": "x", "pretrained_cfg": None}, False),
        ({"num_channels": [1], "model_args": "x", "pretrained_cfg": {"input_size": 1}}, False),
    ],
)
def test_the_first_convolution_of_a_grey_model_is_not_depthwise(tmp_path: Path, config: Any, *, grey: bool) -> None:
    """Its weight has one input channel, as a depthwise one has; only the first one of the model is meant."""
    names = ("conv_stem.conv_3x3.weight", "conv_stem.first_conv.weight", "layer.0.conv_3x3.weight")
    save_file({name: np.zeros((8, 1, 3, 3), np.float32) for name in names}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    kinds = {layer.name: layer.kind for layer in inspect_model(tmp_path).layers}
    assert kinds == dict(zip(names, ("depthwise", "convolution" if grey else "depthwise", "depthwise"), strict=True))


@pytest.mark.parametrize(("groups", "kind"), [(1, "convolution"), (8, "depthwise")])
def test_the_groups_of_a_graph_tell_what_is_depthwise(tmp_path: Path, groups: int, kind: str) -> None:
    """A convolution of one channel has one group."""
    weights = [numpy_helper.from_array(np.zeros((8, 1, 7, 7), np.float32), "w")]
    node = helper.make_node("Conv", ["x", "w"], ["y"], **({"group": groups} if groups > 1 else {}))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph([node], "stem", ends[:1], ends[1:], weights)), tmp_path / "m.onnx")
    assert [layer.kind for layer in inspect_model(tmp_path / "m.onnx").layers] == [kind]
