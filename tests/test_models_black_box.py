"""A teacher of which only a file is known: made to take raw pixels and give logits, or refused with the reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from data_samples import built_digits
from distillation_samples import logit_distillation
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from stillhouse.models.distillation.objectives import taught_objective
from stillhouse.models.errors import ModelError
from stillhouse.models.onnx.export import INPUT, OUTPUT
from stillhouse.models.onnx.import_teacher import FileModel, adopt
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.training.loop import TrainConfig, fit
from stillhouse.models.workloads.image_classification.examples import Examples, load_examples
from stillhouse.models.workloads.image_classification.training import Classifier
from stillhouse.tasks.recipe.teacher import Network


class Silent:
    """A watcher that keeps nothing."""

    def progress(self, line: str) -> None:
        assert line

    def record(self, step: int, metrics: Mapping[str, float]) -> None:
        assert step
        assert metrics


SHAPE = (1, 8, 8)
IMAGES = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), dtype=np.uint8)


class AsKeras(nn.Module):
    """Takes floats (N, H, W, C) from 0 to 1 and gives probabilities, as a Keras export does."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.head = nn.Linear(4 * 8 * 8, classes)

    def learn(self, examples: Examples) -> None:
        optimizer = torch.optim.Adam(self.parameters(), 0.01)
        for _ in range(40):
            loss = functional.cross_entropy(self.logits(as_seen(examples.images_NCHW[:])), examples.labels_N)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def logits(self, images_NHWC: Tensor) -> Tensor:
        return self.head(self.conv(images_NHWC.permute(0, 3, 1, 2)).relu().flatten(1))

    def forward(self, images_NHWC: Tensor) -> Tensor:
        return self.logits(images_NHWC).softmax(1)


def as_seen(images_NCHW: Tensor) -> Tensor:
    return images_NCHW.permute(0, 2, 3, 1) / 255


@pytest.fixture(scope="module")
def keras() -> AsKeras:
    """Train the network once."""
    module = AsKeras()
    module.learn(load_examples(built_digits(), "train"))
    return module.eval()


@pytest.fixture(scope="module")
def as_keras(keras: AsKeras, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the network once."""
    path = tmp_path_factory.mktemp("keras") / "keras.onnx"
    program = torch.onnx.export(
        keras,
        (torch.zeros(2, 8, 8, 1),),
        dynamo=True,
        input_names=[INPUT],
        output_names=["softmax"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert program is not None
    program.save(str(path), external_data=False)
    return path


def ended(last: list[tuple[Any, ...]]) -> list[onnx.NodeProto]:
    """Nodes that change `out0` in place of a network's last layer: an operator and its further inputs."""
    nodes = []
    for number, (operator, *further) in enumerate(last):
        names = [f"further{number}_{place}" for place in range(len(further))]
        for name, value in zip(names, further, strict=True):
            if value == "noise":
                nodes.append(helper.make_node("RandomNormalLike", ["product"], [name]))
            elif value == "mean":  # over the batch
                nodes.append(helper.make_node("ReduceMean", ["product"], [name], axes=[0], keepdims=1))
            else:
                tensor = numpy_helper.from_array(np.float32(value))
                nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        nodes.append(helper.make_node(operator, [f"last{number}", *names], [f"last{number + 1}"]))
    renamed = {"last0": "first", f"last{len(last)}": "out0"}
    for node in nodes:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    return nodes


def file(folder: Path, **changes: Any) -> Path:
    """Write `Softmax(Flatten(images) @ weight)` by hand, with changes."""
    made = {"shape": ["n", 1, 8, 8], "inputs": 1, "outputs": 1, "classes": 10, "operator": "Softmax", "weight": 0.001}
    made |= {"kind": TensorProto.FLOAT, "domain": "", "last": []} | changes
    numbers = np.random.default_rng(1).normal(size=(64, made["classes"])) * made["weight"]
    weight = numpy_helper.from_array(numbers.astype(helper.tensor_dtype_to_np_dtype(made["kind"])), "weight")
    nodes = [
        helper.make_node("Flatten", ["in0"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["product"]),
        helper.make_node(made["operator"], ["product"], ["first" if made["last"] else "out0"], domain=made["domain"]),
        *ended(made["last"]),
    ]
    ins = [helper.make_tensor_value_info(f"in{i}", made["kind"], made["shape"]) for i in range(made["inputs"])]
    outs = [helper.make_tensor_value_info(f"out{i}", made["kind"], None) for i in range(made["outputs"])]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("house", 1)]
    model = helper.make_model(helper.make_graph(nodes, "made", ins, outs, [weight]), opset_imports=opsets, ir_version=9)
    onnx.save(model, folder / "made.onnx")
    return folder / "made.onnx"


def adopted(source: Path, **changes: Any) -> Path:
    known = {"image_shape": SHAPE, "classes": 10, "layout": "NCHW", "scale": 1.0, "answers": "probabilities"}
    known["examples_NCHW"] = np.random.default_rng(0).integers(0, 17, (40, *SHAPE), dtype=np.uint8)
    target = source.with_name("adopted.onnx")
    adopt(source, target, **known | changes)
    return target


def test_a_keras_like_file_answers_as_the_network(keras: AsKeras, as_keras: Path) -> None:
    """From raw bytes, in any batch, the adopted file gives the network's log-probabilities under our names."""
    session = open_session(adopted(as_keras, layout="NHWC", scale=255.0))
    expected = keras(as_seen(torch.from_numpy(IMAGES))).detach().numpy()
    assert [port.name for port in (*session.get_inputs(), *session.get_outputs())] == [INPUT, OUTPUT]
    assert session.get_inputs()[0].type == "tensor(uint8)"
    for batch_size in (1, 5):
        assert np.allclose(np.exp(predict(session, IMAGES, batch_size)), expected, rtol=1e-4, atol=2e-7)


def test_a_keras_like_file_teaches(as_keras: Path, tmp_path: Path) -> None:
    """A student that sees no label learns what the file knows."""
    classifier = Classifier(built_digits())
    asked, score = FileModel(adopted(as_keras, layout="NHWC", scale=255.0)), classifier.scorer("validation")
    feed = classifier.distillation_batches(lambda images_NCHW: (asked(images_NCHW),), 3, logit_distillation(), Silent())
    network = Network(name="multimodal_small_model", arguments={"channels": 8})
    student = classifier.architecture(network).build_seeded(1)
    plan = TrainConfig(4, 50, 0.1, 0.0, "sgd", "fp32", 0.25, 3)
    objective = taught_objective("kl", 2.0, 0.0)
    fit(student, feed, objective, plan, checkpoint=tmp_path / "a.safetensors", score=score, watcher=Silent())
    assert score(asked) > 0.8
    assert score(student) > 0.9 * score(asked)


def test_an_adopted_file_is_asked_like_a_network(tmp_path: Path) -> None:
    """Floats of whole numbers and channels-last memory give the answers of the raw bytes."""
    path = adopted(file(tmp_path))
    images = torch.from_numpy(IMAGES)
    expected = torch.from_numpy(predict(open_session(path), IMAGES))
    assert torch.equal(FileModel(path)(images), expected)
    assert torch.equal(FileModel(path).eval()(images.float().to(memory_format=torch.channels_last)), expected)


@pytest.mark.parametrize("kind", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_other_floats_are_taken(tmp_path: Path, kind: int) -> None:
    """A file in float64 or float16 is asked in its own precision and answers in float32."""
    found = predict(open_session(adopted(file(tmp_path, kind=kind), scale=16.0)), IMAGES)
    assert found.dtype == np.float32
    assert np.exp(found).sum(1) == pytest.approx(1, abs=0.01)


def test_an_impossible_answer_has_a_finite_logarithm(tmp_path: Path) -> None:
    """A probability of exactly 0 becomes the logarithm of 1e-7."""
    found = predict(open_session(adopted(file(tmp_path, weight=100.0))), IMAGES)
    assert found.min() == pytest.approx(np.log(1e-7))


def test_logits_pass_unchanged(tmp_path: Path) -> None:
    """Logits of a file that answers with logits are its own numbers."""
    path = adopted(file(tmp_path, operator="Identity"), answers="logits")
    weight = np.random.default_rng(1).normal(size=(64, 10)) * 0.001
    assert np.allclose(predict(open_session(path), IMAGES), IMAGES.reshape(5, 64) @ weight, atol=1e-4)


@pytest.mark.parametrize(
    ("made", "known", "sentence"),
    [
        ({"inputs": 2}, {}, r"made\.onnx has 2 inputs \(in0, in1\); export the teacher with one"),
        ({"outputs": 2}, {}, r"made\.onnx has 2 outputs \(out0, out1\); export"),
        ({"shape": ["n", 3, 8, 8]}, {}, r"takes images \(3, 8, 8\) and the data gives \(1, 8, 8\); mend layout"),
        ({}, {"layout": "NHWC"}, r"takes images \(1, 8, 8\) and the data gives \(8, 8, 1\); mend layout"),
        ({"shape": ["n", 64]}, {}, r"takes images \(64\) and the data gives \(1, 8, 8\); mend layout"),
        ({"shape": [1, 1, 8, 8]}, {}, r"takes batches of 1 only; export the teacher with a batch of any size"),
        ({"classes": 7}, {}, r"answers 1 images with \(1, 7\), not \(1, 10\); mend its last layer"),
        ({"weight": float("nan")}, {}, r"answers real images with NaN or infinity; mend scale"),
        ({"operator": "Distill", "domain": "house"}, {}, r"does not run in ONNX Runtime \(.*Distill.*; export it"),
        ({"operator": "Identity"}, {}, r"does not answer with probabilities, which sum to 1; set answers to logits"),
        ({}, {"answers": "logits"}, r"numbers that sum to 1, as probabilities do; set answers to probabilities"),
        ({"kind": TensorProto.INT32}, {"scale": 2.0}, r"takes whole numbers, .* divided by 2; set scale to 1"),
        ({"kind": TensorProto.INT8}, {}, r"takes int8, which cannot hold pixels from 0 to 255; export it for uint8"),
        ({"weight": 0.0}, {}, r"answers every image alike; mend scale and layout"),
        ({"operator": "Sigmoid"}, {"answers": "logits"}, r"numbers from 0 to 1 only, as a sigmoid does; export it"),
        ({"operator": "HardSigmoid"}, {"answers": "logits"}, r"numbers from 0 to 1 only, as a sigmoid does"),
        ({"operator": "Sigmoid"}, {}, r"which sum to 1; export it without its sigmoid and set answers to logits"),
        ({"last": [("Mul", 100.0)]}, {"answers": "logits"}, r"shares that sum to 100; export it without its last"),
        ({"last": [("Mul", 255.0)], "weight": 0.1}, {"answers": "logits"}, r"shares that sum to 255; export it"),
        ({"last": [("Add", "noise")]}, {"answers": "logits"}, r"differently another time or in another batch"),
        ({"operator": "Identity", "weight": 1.0, "last": [("Sub", "mean")]}, {"answers": "logits"}, r"another batch"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(
    tmp_path: Path, made: dict[str, Any], known: dict[str, Any], sentence: str
) -> None:
    """What does not fit the data or the recipe is refused in one sentence with the remedy, and nothing is written."""
    with pytest.raises(ModelError, match=sentence):
        adopted(file(tmp_path, **made), **known)
    assert [path.name for path in tmp_path.iterdir()] == ["made.onnx"]


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    """Text, an empty file and a truncated export are refused by name."""
    whole = file(tmp_path).read_bytes()
    for content in (b"not a model", b"", whole[: len(whole) // 2]):
        (tmp_path / "made.onnx").write_bytes(content)
        with pytest.raises(ModelError, match=r"made\.onnx"):
            adopted(tmp_path / "made.onnx")


def outside(tensor: onnx.TensorProto, folder: Path) -> onnx.TensorProto:
    """Put a tensor's numbers into a file beside."""
    (folder / "beside.bin").write_bytes(numpy_helper.to_array(tensor).tobytes())
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="beside.bin")
    return tensor


def beside_a_constant(model: onnx.ModelProto, folder: Path) -> None:
    """Make the weight a constant's."""
    tensor = outside(model.graph.initializer.pop(), folder)
    model.graph.node.insert(0, helper.make_node("Constant", [], ["weight"], value=tensor))


def beside_a_branch(model: onnx.ModelProto, folder: Path) -> None:
    """Put it into a branch."""
    tensor = outside(model.graph.initializer.pop(), folder)
    result = [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)]
    branch = helper.make_graph([helper.make_node("Identity", ["kept"], ["inner"])], "branch", [], result, [tensor])
    tensor.name = "kept"
    branch.initializer[0].name = "kept"
    always = helper.make_node("Constant", [], ["always"], value=numpy_helper.from_array(np.bool_(1)))
    chosen = helper.make_node("If", ["always"], ["weight"], then_branch=branch, else_branch=branch)
    for node in (chosen, always):
        model.graph.node.insert(0, node)


@pytest.mark.parametrize(
    "move", [lambda model, folder: outside(model.graph.initializer[0], folder), beside_a_constant, beside_a_branch]
)
def test_weights_in_other_files_are_refused(tmp_path: Path, move: Any) -> None:
    """A file whose weights lie outside it, where its digest does not reach, is refused wherever it names them."""
    model = onnx.load(file(tmp_path))
    move(model, tmp_path)
    (tmp_path / "made.onnx").write_bytes(model.SerializeToString())
    assert open_session(tmp_path / "made.onnx")  # the runtime takes it where it lies
    with pytest.raises(ModelError, match=r"keeps its weights in other files; save the teacher as one file"):
        adopted(tmp_path / "made.onnx")


def test_an_adopted_file_needs_nothing_beside_it(tmp_path: Path) -> None:
    """It is tried in a folder of its own, and answers as well in another one."""
    path = adopted(file(tmp_path))
    expected = predict(open_session(path), IMAGES)
    (tmp_path / "moved").mkdir()
    moved = path.rename(tmp_path / "moved" / "teacher.onnx")
    (tmp_path / "made.onnx").unlink()
    assert np.array_equal(predict(open_session(moved), IMAGES), expected)


@pytest.mark.parametrize(
    ("made", "answers"),
    [
        ({"operator": "Identity"}, "logits"),
        ({"operator": "Tanh"}, "logits"),
        ({"operator": "LogSoftmax", "weight": 0.1}, "logits"),
        ({"operator": "Relu", "weight": 0.1}, "logits"),
        ({"operator": "Hardmax", "weight": 0.1}, "probabilities"),
        ({"kind": TensorProto.FLOAT16, "weight": 0.1}, "probabilities"),
    ],
)
def test_what_fits_is_taken(tmp_path: Path, made: dict[str, Any], answers: str) -> None:
    """Logits of any range, and probabilities however sure, are what the recipe says they are."""
    assert adopted(file(tmp_path, **made), answers=answers).is_file()
