"""A user's text encoder: read from its folder, exported, made integer, and judged by the neighbours that it keeps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from encoder_folders import ask_library, write_encoder
from onnx import TensorProto, helper
from safetensors.torch import load_file, save_file
from text_samples import sentences

from stillhouse.models.compression.depth import drop_layers, droppable
from stillhouse.models.compression.quantization.quantize import fix_tables, integer_weights, quantizable
from stillhouse.models.compression.quantization.rounded_inputs import round_dynamically, round_inputs
from stillhouse.models.errors import ModelError
from stillhouse.models.families.bert import adopt_bert
from stillhouse.models.inspection.source import find_source
from stillhouse.models.measurement.neighbours import nearest, share_kept
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.tokens import Tokenizer
from stillhouse.models.training.checkpoint import load_model, save_model

TEXTS = sentences(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("encoders") / "bert", TEXTS)


def ids_of(folder: Path, made: Path) -> torch.Tensor:
    """Tokens of the texts by the tokenizer that ships with an adopted model."""
    adopted = adopt_bert(find_source(folder))
    path = made / "tokenizer.json"
    path.write_bytes(adopted.files["tokenizer.json"])
    return torch.from_numpy(Tokenizer(path).ids_of(TEXTS))


@pytest.mark.parametrize(
    ("kind", "pooling"), [("bert", "mean_tokens"), ("bert", "cls_token"), ("distilbert", "mean_tokens")]
)
def test_an_adopted_encoder_answers_as_the_library(tmp_path: Path, kind: str, pooling: str) -> None:
    """Padding, pooling and positions are the library's own."""
    folder = write_encoder(tmp_path / "model", TEXTS, kind, pooling)
    ids_NT = ids_of(folder, tmp_path)
    with torch.no_grad():
        ours_ND = adopt_bert(find_source(folder)).module(ids_NT)
    assert torch.allclose(ours_ND, ask_library(folder, ids_NT, first=pooling == "cls_token"), atol=1e-5)


def test_a_padding_other_than_0_is_exchanged(tmp_path: Path) -> None:
    """RoBERTa pads with 1 and counts its positions from 2."""
    folder = write_encoder(tmp_path / "model", TEXTS, "roberta")
    config = json.loads((folder / "config.json").read_text()) | {"pad_token_id": 1}
    (folder / "config.json").write_text(json.dumps(config))
    adopted = adopt_bert(find_source(folder))
    words = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert torch.equal(adopted.module.tokens.weight[[0, 1]], words[[1, 0]])
    (tmp_path / "tokenizer.json").write_bytes(adopted.files["tokenizer.json"])
    ids_NT = Tokenizer(tmp_path / "tokenizer.json").ids_of(["river", "the river holds a violin"])
    assert ids_NT[0, -1] == 0
    assert adopted.architecture.arguments["positions"] == 38


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, "has activation relu"),
        ({"position_embedding_type": "relative_key"}, "has positions relative_key"),
        ({"hidden_size": None}, "has no hidden_size"),
        ({"num_hidden_layers": 2}, "does not hold the weights that its config.json describes"),
    ],
)
def test_a_folder_of_another_form_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """The sentence says what is not read."""
    folder = write_encoder(tmp_path / "model", TEXTS)
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        adopt_bert(find_source(folder))


def test_a_tensor_that_no_encoder_has_is_named(tmp_path: Path) -> None:
    """Weights that would be left out silently are an error."""
    folder = write_encoder(tmp_path / "model", TEXTS)
    save_file(load_file(folder / "model.safetensors") | {"adapter.weight": torch.ones(2)}, folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"has the tensor adapter\.weight"):
        adopt_bert(find_source(folder))


def test_a_pooling_that_is_not_read_is_named(tmp_path: Path) -> None:
    """A maximum over the tokens is no mean."""
    folder = write_encoder(tmp_path / "model", TEXTS, pooling="max_tokens")
    with pytest.raises(ModelError, match="pools by pooling_mode_max_tokens"):
        adopt_bert(find_source(folder))


def test_a_module_that_would_be_left_out_is_named(tmp_path: Path) -> None:
    """A dense layer behind the pooling changes every vector."""
    folder = write_encoder(tmp_path / "model", TEXTS)
    chain = json.loads((folder / "modules.json").read_text())
    chain.append({"type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(chain))
    with pytest.raises(ModelError, match=r"chains sentence_transformers\.models\.Dense, .*bring it in by a package"):
        adopt_bert(find_source(folder))


def test_an_assumed_pooling_is_told(tmp_path: Path) -> None:
    """The mean is right for most encoders, and a person can see that it was not read."""
    folder = write_encoder(tmp_path / "model", TEXTS)
    assert adopt_bert(find_source(folder)).notes == ()
    (folder / "1_Pooling" / "config.json").unlink()
    assert "assumed that a text's vector is the mean" in adopt_bert(find_source(folder)).notes[0]


@pytest.mark.parametrize("bits", [8, 4])
def test_an_integer_encoder_is_exported_with_integer_products_and_tables(
    folder: Path, tmp_path: Path, bits: int
) -> None:
    """The file has a quarter or an eighth of the bytes of the weights, and answers nearly as the module."""
    adopted, ids_NT = adopt_bert(find_source(folder)), ids_of(folder, tmp_path)
    module = integer_weights(adopted.module, bits)
    how = {"activations": "dynamic", "calibration": "minmax", "keep_float": []}
    with torch.no_grad():
        expected_ND = module(ids_NT).numpy()
    path = tmp_path / "model.onnx"
    export_model(module, replace(adopted.architecture, quantization=how), ids_NT.numpy(), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"GatherBlockQuantized", "MatMulInteger", "Sum"} <= kinds
    alone = np.concatenate([session.run(None, {"ids_NT": row[row != 0][None]})[0] for row in ids_NT.numpy()])
    assert (alone * expected_ND).sum(1).min() > 0.98


def test_a_block_can_be_dropped_and_the_model_comes_back(folder: Path, tmp_path: Path) -> None:
    """A dropped block passes its tokens on, also after loading."""
    adopted, ids_NT = adopt_bert(find_source(folder)), ids_of(folder, tmp_path)
    assert droppable(adopted.module, ids_NT) == ["blocks.0", "blocks.1", "blocks.2"]
    module = drop_layers(adopted.module, ["blocks.1"])
    architecture = adopted.architecture.with_edits({"edit": "drop_layers", "names": ["blocks.1"]})
    save_model(tmp_path / "saved", module, architecture)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "saved")[0](ids_NT), module(ids_NT))


def test_inputs_are_rounded_as_the_runtime_rounds_them() -> None:
    """DynamicQuantizeLinear gives the same numbers for one example."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "rounding", [ends[0]], [ends[1]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs = torch.randn(1, 7, 16, generator=torch.Generator().manual_seed(1)) * 3 + 0.5
    assert np.allclose(session.run(None, {"x": inputs.numpy()})[0], round_dynamically(inputs).numpy(), atol=1e-6)


def test_rounding_of_inputs_ends_with_its_context(folder: Path, tmp_path: Path) -> None:
    """The trained module answers without rounding afterwards."""
    adopted, ids_NT = adopt_bert(find_source(folder)), ids_of(folder, tmp_path)
    with torch.no_grad():
        before = adopted.module(ids_NT)
        with round_inputs(adopted.module, quantizable(adopted.module)) as rounded:
            assert not torch.equal(rounded(ids_NT), before)
        assert torch.equal(adopted.module(ids_NT), before)


def test_fixed_tables_are_multiples_of_their_integers_and_do_not_learn(folder: Path) -> None:
    """Only the tables of tokens are fixed."""
    module = adopt_bert(find_source(folder)).module
    integers = fix_tables(module, {"tokens": 4, "places": 8, "blocks.0.mlp.0": 8})
    assert set(integers) == {"tokens", "places"}
    assert not module.tokens.weight.requires_grad
    assert int(integers["tokens"].abs().max()) == 7
    ratios = module.tokens.weight[5] / integers["tokens"][5]
    assert torch.allclose(ratios[integers["tokens"][5] != 0], ratios[integers["tokens"][5] != 0][0])


@pytest.mark.parametrize(
    ("vectors", "expected"),
    [
        ([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], [[1], [0], [3], [2]]),
        ([[1, 0], [0, 1], [0.8, 0.6]], [[2], [2], [0]]),
    ],
)
def test_the_nearest_is_another_example(vectors: list[list[float]], expected: list[list[int]]) -> None:
    """An example is no neighbour of itself."""
    vectors_ND = np.array(vectors, np.float32)
    vectors_ND /= np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    assert nearest(vectors_ND, 1).tolist() == expected


def test_the_share_kept_does_not_depend_on_the_order() -> None:
    """Two of two, one of two, none of two."""
    found, wanted = np.array([[1, 2], [0, 2], [0, 1]]), np.array([[2, 1], [2, 3], [4, 5]])
    assert share_kept(found, wanted).tolist() == [1.0, 0.5, 0.0]
