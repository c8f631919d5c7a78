"""A Keras file is checked before Keras sees it: what may run code, read files or fill the memory is refused."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillhouse.models.errors import ModelError
from stillhouse.models.inspection.inspect import inspect_model
from stillhouse.models.inspection.keras_layers import layers_from
from stillhouse.models.keras.archive import read_archive
from stillhouse.models.keras.config import check_config, layers_in
from stillhouse.models.keras.facts import describe


def layer(kind: str, module: str | None = "keras.layers", registered: str | None = None, **config: Any) -> Any:
    """Describe a layer as Keras writes it into config.json."""
    return {
        "module": module,
        "class_name": kind,
        "config": {"name": kind.lower(), **config},
        "registered_name": registered,
    }


def model(*layers: Any) -> dict[str, Any]:
    """Describe a sequential model of layers."""
    return layer("Sequential", "keras", layers=[layer("InputLayer", batch_shape=[None, 8, 8, 1]), *layers])


RELU = {"module": "builtins", "class_name": "function", "config": "my_relu", "registered_name": "function"}
PLAIN = model(layer("Conv2D", kernel_initializer=layer("GlorotUniform", "keras.initializers")), layer("Dense"))
LEGACY = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {"name": "dense"}}]}}


def keras_file(path: Path, members: dict[str, bytes] | None = None, config: Any = PLAIN) -> Path:
    """Write a `.keras` file with its three members, or with others."""
    whole = {"metadata.json": b"{}", "config.json": json.dumps(config).encode(), "model.weights.h5": bytes(500)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (whole if members is None else members).items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        LEGACY,
        model(layer("Dense", "keras.src.layers.core.dense"), layer("Functional", "keras.src.models.functional")),
        model(layer("Dense", activation=RELU | {"config": "gelu"})),
        PLAIN | {"compile_config": {"loss": {"module": "my_losses", "class_name": "Mine", "config": {}}}},
    ],
)
def test_plain_layers_are_accepted(config: Any) -> None:
    """New and old files of plain layers pass, whatever loss they were trained with."""
    check_config(config, "m.keras")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (layer("Lambda", function={"class_name": "__lambda__"}), "a Lambda layer, which runs code"),
        (layer("TFSMLayer", filepath="other"), "a TFSMLayer layer, which runs code"),
        (layer("Dense", activation={"class_name": "__lambda__", "config": {}}), "a __lambda__ layer, which runs code"),
        (layer("StringLookup", vocabulary="/etc/passwd"), "a StringLookup layer, which may read other files"),
        (layer("Attention", "my_package.layers", "my_package>Attention"), "my_package>Attention of my_package.layers"),
        (layer("Mine", None, "Custom>Mine"), "Custom>Mine of no module, which is not a part of Keras"),
        (layer("system", "os"), "system of os, which is not a part of Keras"),
        (layer("get_file", "keras.utils"), "get_file of keras.utils, which is not a part of Keras"),
        (layer("Dense", registered="Custom>Dense"), "Custom>Dense of keras.layers"),
        (layer("Dense", "keras.layers_of_mine"), "Dense of keras.layers_of_mine"),
        (layer("Dense", activation=RELU | {"config": {"value": 1}}), "function of builtins"),
        ({"class_name": "Mine", "config": {}, "registered_name": "Custom>Mine"}, "Custom>Mine of no module"),
        (layer("TimeDistributed", layer=layer("Lambda")), "a Lambda layer, which runs code"),
    ],
)  # fmt: skip
def test_what_is_more_than_a_plain_layer_is_refused(found: Any, words: str) -> None:
    """The refusal names the object and the remedy, however deep it is."""
    with pytest.raises(ModelError, match=r"(save again|where its code is)$") as refused:
        check_config(model(layer("Dense"), found), "m.keras")
    assert words in str(refused.value)


def nested(depth: int) -> Any:
    return {"inner": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "no model in its configuration"),
        ({"class_name": "Sequential", "config": []}, "no model in its configuration"),
        (model(nested(300)), "more than 200 levels deep"),
    ],
)
def test_what_is_no_model_is_refused(config: Any, words: str) -> None:
    """Weights alone and endless nesting are named."""
    with pytest.raises(ModelError, match=words):
        check_config(config, "m.h5")


def test_the_configuration_of_a_whole_file_is_read(tmp_path: Path) -> None:
    """The layers are listed with their classes, without inputs and initializers."""
    assert layers_in(read_archive(keras_file(tmp_path / "m.keras"))) == [
        ("conv2d", "Conv2D"), ("dense", "Dense"),
    ]  # fmt: skip


WHOLE = {"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"x"}


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "has no metadata.json"),
        ({"metadata.json": b"{}", "config.json": b"{}"}, "has no model.weights.h5"),
        (WHOLE | {"model.weights.npz": b"x"}, "weights in model.weights.npz, which may be a pickle"),
        (WHOLE | {"assets/vocabulary.txt": b"x"}, "brings files of its own"),
        (WHOLE | {"../../escaped.py": b"x"}, "the member '../../escaped.py', which Keras does not write"),
        (WHOLE | {"/etc/cron.d/x": b"x"}, "the member '/etc/cron.d/x', which Keras does not write"),
        (WHOLE | {"model.weights.h5": bytes(5_000_000)}, "unpacks to 5,000,004 bytes"),
        (WHOLE | {"config.json": b"["}, "is no JSON "),
        (WHOLE | {"config.json": b"[]"}, "no JSON object"),
        (WHOLE | {"config.json": b"\xff\xfe"}, "is no JSON "),
    ],
)
def test_a_strange_archive_is_refused(tmp_path: Path, members: dict[str, bytes], words: str) -> None:
    """Missing members, members that Keras does not write, and what unpacks to far more are named with the remedy."""
    with pytest.raises(ModelError, match=r"(save the model|remove that layer)") as refused:
        read_archive(keras_file(tmp_path / "m.keras", members))
    assert words in str(refused.value)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    """A file that is no zip, and one that was cut off, are told to be saved again."""
    whole = keras_file(tmp_path / "m.keras").read_bytes()
    for content in (b"", b"\x89HDF\r\n", whole[: len(whole) // 2]):
        (tmp_path / "bad.keras").write_bytes(content)
        with pytest.raises(ModelError, match=r"no whole \.keras file .*; save the model again with model\.save$"):
            read_archive(tmp_path / "bad.keras")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Of two configurations nobody knows which one Keras reads."""
    path = keras_file(tmp_path / "m.keras")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ModelError, match=r"has 2 config\.json members"):
        read_archive(path)


@pytest.mark.parametrize(
    ("shape", "rows", "layout", "output"),
    [
        ((28, 28, 1), [[0.5, 0.5], [1.0, 0.0]], "NHWC", "probabilities"),
        ((3, 32, 32), [[0.5, 0.6], [1.0, 0.0]], "NCHW", "logits"),
        ((None, None, 3), [[1.5, -0.5]], "NHWC", "logits"),
    ],
)
def test_layout_and_kind_of_output_follow_from_shape_and_sums(
    shape: tuple[int | None, ...], rows: list[list[float]], layout: str, output: str
) -> None:
    """The axis with 1, 3 or 4 entries has the channels; rows of shares that sum to 1 are probabilities."""
    assert describe(shape, [np.array(rows, np.float32)]) == {
        "shape": list(shape), "layout": layout, "output": output, "classes": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "shape", "name", "kind", "ordered"),
    [
        ("layers/conv2d_1/vars/0", [3, 5, 32, 64], "conv2d_1.vars.0", "convolution", (64, 32, 3, 5)),
        ("model_weights/dense/m/dense/kernel", [64, 10], "dense.m.dense.kernel", "linear", (10, 64)),
        ("layers/separable_conv2d/vars/0", [3, 3, 16, 2], "separable_conv2d.vars.0", "depthwise", (32, 1, 3, 3)),
        ("layers/separable_conv2d/vars/1", [1, 1, 32, 8], "separable_conv2d.vars.1", "convolution", (8, 32, 1, 1)),
        ("layers/embedding/vars/0", [100, 16], "embedding.vars.0", "embedding", (100, 16)),
        ("_all_variables/3/.ATTRIBUTES/VARIABLE_VALUE", [64], "_all_variables.3", "norm", (64,)),
    ],
)
def test_a_tensor_of_keras_is_a_layer(
    path: str, shape: list[int], name: str, kind: str, ordered: tuple[int, ...]
) -> None:
    """The kind follows from path and shape, and the shape is given with outputs first."""
    (found,) = layers_from([(path, shape, 400)])
    assert (found.name, found.kind, found.shape, found.bytes) == (name, kind, ordered, 400)


def test_a_keras_model_is_inspected_by_its_header(tmp_path: Path) -> None:
    """Layers are counted by their class, a stack of tensors by its layer; nothing can be changed in place."""
    tensors = [("layers/conv2d/vars/0", [3, 3, 1, 8], 288), ("layers/dense/vars/0", [8, 10], 320)]
    header = {"tensors": tensors, "layers": [("stem", "Conv2D"), ("head", "Dense"), ("more", "Conv2D")]}
    found = inspect_model(keras_file(tmp_path / "m.keras"), lambda _path: header)
    assert (found.parameters, found.bytes) == (152, 608)
    assert list(found.operators) == [("Conv2D", 2), ("Dense", 1)]
    assert {part.name for part in found.components} == {"conv2d", "dense"}
    assert {each.method for each in found.methods if each.applies} == {"quantize", "distil", "pack"}
