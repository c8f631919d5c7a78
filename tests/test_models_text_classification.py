"""A user's text classifier: read from its folder, with the logits of transformers, and answered by its bundle."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_folders import ship_classifier, write_classifier
from safetensors.torch import load_file, save_file
from text_samples import sentences, write_texts

from stillhouse.models.errors import ModelError
from stillhouse.models.families.bert_classifier import adopt_text_classifier
from stillhouse.models.families.labels import order_labels
from stillhouse.models.inspection.source import find_source
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.runtime.tokens import Tokenizer
from stillhouse.models.workloads.registry import ALONE
from stillhouse.models.workloads.text_classification.report import REPORT
from stillhouse.models.workloads.text_classification.runtime import RUNTIME

TEXTS, LABELS = sentences(300), ("bad", "fair", "good")
KINDS = (("bert", 0), ("roberta", 0), ("roberta", 1), ("xlm-roberta", 1), ("camembert", 1), ("distilbert", 0))
"""Types of models, and the number of the padding's token."""
Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("data") / "rated", TEXTS, [n % 3 for n in range(300)], LABELS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("classifiers") / "bert", TEXTS, LABELS)


def change(folder: Path, **keys: object) -> None:
    """Change keys of config.json. None takes a key out."""
    config = json.loads((folder / "config.json").read_text()) | keys
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def ids_of(folder: Path, tokenizer: bytes) -> torch.Tensor:
    (folder / "shipped.json").write_bytes(tokenizer)
    return torch.from_numpy(Tokenizer(folder / "shipped.json").ids_of(TEXTS[:40]))


def ask_library(folder: Path, ids_NT: torch.Tensor, padding: int = 0) -> torch.Tensor:
    """Return the logits that transformers itself gives. Our tokens have 0 where the model has its padding."""
    import transformers

    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    theirs_NT = torch.where(ids_NT == 0, padding, torch.where(ids_NT == padding, 0, ids_NT))
    with torch.no_grad():
        return model(input_ids=theirs_NT, attention_mask=(ids_NT != 0).long()).logits


@pytest.mark.parametrize(("kind", "padding"), KINDS)
def test_an_adopted_classifier_has_the_librarys_logits(tmp_path: Path, data: Path, kind: str, padding: int) -> None:
    """Each architecture has its own head and its own names for it."""
    folder = write_classifier(tmp_path / "model", TEXTS, LABELS, kind, pad_token_id=padding)
    adopted = adopt_text_classifier(find_source(folder), data)
    ids_NT = ids_of(tmp_path, adopted.files["tokenizer.json"])
    with torch.no_grad():
        ours_NK = adopted.module(ids_NT)
    assert adopted.notes == ()
    assert torch.allclose(ours_NK, ask_library(folder, ids_NT, padding), atol=1e-4)
    assert len({tuple(row) for row in ours_NK.round(decimals=2).tolist()}) > 20


def test_logits_come_in_the_order_of_the_data(tmp_path: Path, data: Path) -> None:
    """The model counts its labels otherwise than the data, and both have the same names."""
    turned = write_classifier(tmp_path / "model", TEXTS, ("good", "bad", "fair"))
    adopted = adopt_text_classifier(find_source(turned), data)
    ids_NT = ids_of(tmp_path, adopted.files["tokenizer.json"])
    with torch.no_grad():
        ours_NK = adopted.module(ids_NT)
    assert torch.allclose(ours_NK, ask_library(turned, ids_NT)[:, [1, 2, 0]], atol=1e-4)
    assert adopted.notes == ("the logits are put into the order of the data's labels",)


@pytest.mark.parametrize(
    ("names", "labels", "order", "note"),
    [
        (("a", "b"), ("a", "b"), None, None),
        (("b", "a"), ("a", "b"), [1, 0], "put into the order of the data's labels"),
        (("LABEL_0", "LABEL_1"), ("a", "b"), None, "names no labels; assumed the order of the data: a, b"),
        (("no", "yes"), ("0", "1"), None, "assumed that they count the model's labels: 0 is no, 1 is yes"),
    ],
)
def test_labels_agree_by_name(names: Any, labels: Any, order: Any, note: str | None) -> None:
    """What is not written in the files is assumed and told."""
    found, notes = order_labels(Path("m"), names, labels)
    assert found == order
    assert (note in notes[0]) if note else not notes


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("a", "b"), ("a", "c")),
        (("a", "b"), ("a", "b", "c")),
        (("a", "a"), ("a", "b")),
        (("LABEL_0", "LABEL_1"), ("a", "b", "c")),
        (("one", "1"), ("0", "1")),
        (("no", "yes"), ("1", "2")),
    ],
)
def test_two_label_spaces_are_refused(names: Any, labels: Any) -> None:
    """The sentence has both, and what to mend."""
    with pytest.raises(ModelError, match=r"m has the labels .* and the data has .*; mend id2label in config\.json or"):
        order_labels(Path("m"), names, labels)


def only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({}))


def without(tensor: str) -> Spoil:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors.pop(tensor)
        save_file(tensors, folder / "model.safetensors")

    return spoil


def a_tensor_more(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors") | {"adapter.weight": torch.ones(2)}
    save_file(tensors, folder / "model.safetensors")


def without_head(folder: Path) -> None:
    without("classifier.weight")(folder)
    change(folder, id2label=None)


def cut_off(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def without_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def configured(**keys: object) -> Spoil:
    return lambda folder: change(folder, **keys)


FAULTS: dict[str, tuple[Spoil, str]] = {
    "one output": (configured(id2label={"0": "LABEL_0"}), r"is a regression, which answers with a number; text class"),
    "a regression": (
        configured(problem_type="regression"),
        r"is a regression, .* gives each text one of several labels",
    ),
    "several labels": (
        configured(problem_type="multi_label_classification"),
        r"is a classifier that may give a text several labels; text classification reads",
    ),
    "an unknown problem": (configured(problem_type="ranking"), r"is of the problem type ranking; text classification"),
    "a pickle": (only_a_pickle, r"pytorch_model\.bin may be a pickle.*save_pretrained"),
    "code of the author": (
        configured(auto_map={"AutoModel": "theirs.Model"}),
        r"asks to run code.*export the model to",
    ),
    "no tokenizer": (without_tokenizer, r"has no tokenizer\.json; save its tokenizer with AutoTokenizer"),
    "no head": (without_head, r"has no head that names classes; train it as \.\.\.ForSequenceClassification"),
    "half a head": (
        without("bert.pooler.dense.bias"),
        r"has no bert\.pooler\.dense, a layer of its head; save the whole",
    ),
    "a head of other labels": (
        configured(id2label={"0": "bad", "1": "fair"}),
        r"has the labels bad, fair and the data has bad, fair, good; mend id2label",
    ),
    "a name twice": (
        configured(id2label={"0": "bad", "1": "bad", "2": "good"}),
        r"has the labels bad, bad, good and th",
    ),
    "names without numbers": (
        configured(id2label={"a": "bad"}),
        r"has an id2label that does not name the numbers from",
    ),
    "a gap in the names": (
        configured(id2label={"0": "bad", "2": "good"}),
        r"has an id2label that does not name the num",
    ),
    "a list of names": (
        configured(id2label=["bad"]),
        r"has an id2label that does not name the numbers from 0; mend it",
    ),
    "another model": (configured(model_type="albert"), r"is of the type albert; text classification reads bert, robe"),
    "a tensor more": (a_tensor_more, r"has the tensor adapter\.weight, which no text classifier of the type bert has"),
    "a file that is cut off": (cut_off, r"has a damaged \.safetensors file \(.*\); copy it again"),
    "another activation": (configured(hidden_act="relu"), r"has activation relu, which is not read here"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_bad_folder_is_refused_with_a_remedy(tmp_path: Path, data: Path, fault: str) -> None:
    """One sentence says what is wrong and what to do."""
    spoil, message = FAULTS[fault]
    folder = write_classifier(tmp_path / "model", TEXTS, LABELS)
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        adopt_text_classifier(find_source(folder), data)


def test_names_of_more_labels_than_outputs_are_refused(tmp_path: Path) -> None:
    """Otherwise a class would never be answered."""
    data = write_texts(tmp_path / "four", TEXTS, [n % 4 for n in range(300)], (*LABELS, "best"))
    folder = write_classifier(tmp_path / "model", TEXTS, LABELS)
    change(folder, id2label=dict(enumerate((*LABELS, "best"))))
    with pytest.raises(ModelError, match=r"names 4 labels in config\.json and has 3 outputs; mend id2label"):
        adopt_text_classifier(find_source(folder), data)


def test_data_without_labels_is_refused(tmp_path: Path, folder: Path) -> None:
    """Accuracy needs them."""
    with pytest.raises(ModelError, match="has no labels, which text classification needs; name the column"):
        adopt_text_classifier(find_source(folder), write_texts(tmp_path / "plain", TEXTS))


@pytest.fixture(scope="module")
def shipped(folder: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the classifier in fp32."""
    return ship_classifier(folder, data, tmp_path_factory.mktemp("bundle"))


def test_a_bundle_answers_a_text_with_label_and_probability(shipped: Path, folder: Path, tmp_path: Path) -> None:
    """They are those of transformers' own model."""
    ids_NT = ids_of(tmp_path, (shipped / "tokenizer.json").read_bytes())
    expected_NK = ask_library(folder, ids_NT).softmax(1)
    found = RUNTIME.serve(open_bundle(shipped), ())["text"](TEXTS[:40])
    assert [answer["class"] for answer in found] == expected_NK.argmax(1).tolist()
    assert [answer["label"] for answer in found] == [LABELS[best] for best in expected_NK.argmax(1)]
    assert np.allclose([answer["probability"] for answer in found], expected_NK.max(1).values, atol=1e-4)
    RUNTIME.probe(open_bundle(shipped))


@pytest.mark.parametrize("text", ["", "  \n", 7])
def test_an_empty_text_is_refused(shipped: Path, text: Any) -> None:
    """It has no class."""
    with pytest.raises(ModelError, match="is empty or no text; give at least one visible character"):
        RUNTIME.serve(open_bundle(shipped), ())["text"]([text])


def test_a_page_of_answers_is_escaped(shipped: Path, tmp_path: Path) -> None:
    """A text may look like HTML."""
    page = REPORT.answer_queries(open_bundle(shipped), tmp_path, ["<b>river</b>"], tmp_path)
    assert "&lt;b&gt;river" in page
    assert any(f"<p>{label} (" in page for label in LABELS)


def test_quality_is_accuracy_and_examples_that_differ_come_first(shipped: Path, data: Path) -> None:
    """Each class is a slice."""
    split = RUNTIME.load_split(data, "gate")
    logits_NK = RUNTIME.ask(open_bundle(shipped), split)
    known_NK = np.eye(3, dtype=np.float32)[split[1]]
    outcomes = RUNTIME.outcomes(split, known_NK, known_NK)
    assert (outcomes.scores.mean, list(outcomes.slices)) == (1.0, list(LABELS))
    assert RUNTIME.outcomes(split, logits_NK, known_NK).scores.mean == (logits_NK.argmax(1) == split[1]).mean()
    shown = RUNTIME.details(data, {}, split, {"teacher": known_NK, "student": logits_NK})["examples"]
    assert all(example["teacher"] == example["label"] != example["student"] for example in shown)


@pytest.mark.parametrize(("moved", "share"), [(0.1, 0.0), (0.3, 1.0)])
def test_parity_counts_probability_that_moves(tmp_path: Path, moved: float, share: float) -> None:
    """A class that changes by a hair is no fault of the export."""
    np.save(tmp_path / f"{ALONE}.npy", np.log([[0.55, 0.45]]).astype(np.float32))
    answers_NK = np.log([[0.55 - moved, 0.45 + moved]]).astype(np.float32)
    assert RUNTIME.parity(tmp_path, ([], np.zeros(1, np.int64), []), answers_NK) == share
