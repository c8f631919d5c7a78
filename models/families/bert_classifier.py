"""Read a BERT-like text classifier from a folder as transformers writes it. No code of it is run."""

from collections.abc import Sequence
from pathlib import Path

from stillhouse.models.data.description import describe
from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.bert_folder import (
    Sizes,
    Tensors,
    adopt_tensors,
    expect_bert_like,
    refuse_tensor,
    split_tensors,
)
from stillhouse.models.families.labels import order_labels
from stillhouse.models.inspection.labels import kind_of_head, labels_of
from stillhouse.models.inspection.source import Source
from stillhouse.models.training.checkpoint import Architecture

NETWORK = "bert_classifier"
USE = "text classification"
DENSE, LAST = "dense", "classifier"
"""Layers of our network's head."""
ROBERTA = {"classifier.dense": DENSE, "classifier.out_proj": LAST}
HEADS = {
    "bert": {"bert.pooler.dense": DENSE, "classifier": LAST},
    "distilbert": {"pre_classifier": DENSE, "classifier": LAST},
}
"""Model type -> layers of its head by their names in our network. The other types have the head of RoBERTa."""
UNUSED = (".pooler.", ".position_ids", "embeddings.position_ids")
"""Parts of the names of tensors that older versions wrote and no classifier reads."""


def adopt_text_classifier(source: Source, data: Path) -> Adopted:
    """Read the folder of a text classifier for a dataset.

    Raises:
        ModelError: it is another model, a part is missing, or its labels are not those of the data. The message says
            which.
    """
    order, notes = agree_on_labels(source, data)
    classes = len(labels_of(source))
    sizes = Sizes(source)
    body, others = split_tensors(source, sizes)
    head = _head(source, sizes.kind, others, classes)
    if order is not None:
        head |= {name: tensor[order] for name, tensor in head.items() if name.startswith(LAST)}
    activation = "relu" if sizes.kind == "distilbert" else "tanh"
    arguments = sizes.arguments | {"classes": classes, "activation": activation}
    architecture = Architecture(NETWORK, arguments, 1.0, (sizes.positions,))
    return adopt_tensors(source, sizes, architecture, body | head, tuple(notes))


def agree_on_labels(source: Source, data: Path) -> tuple[list[int] | None, list[str]]:
    """Compare the labels of a folder with those of a dataset. No weights are read.

    Returns:
        As `order_labels`.

    Raises:
        ModelError: the folder holds no text classifier, or model and data have other classes.
    """
    expect_bert_like(source, USE)
    names = labels_of(source)
    if not names:
        msg = f"{source.path} has no head that names classes; train it as ...ForSequenceClassification, and save it"
        raise ModelError(msg)
    if kind := kind_of_head(source.config, len(names)):
        msg = f"{source.path} is {kind}; {USE} reads a model that gives each text one of several labels"
        raise ModelError(msg)
    return order_labels(source.path, names, _labels(data))


def _labels(data: Path) -> Sequence[str]:
    labels = [str(label) for label in describe(data)["labels"]]
    if not labels:
        msg = f"{data} has no labels, which {USE} needs; name the column of the labels, or a dataset that has them"
        raise ModelError(msg)
    return labels


def _head(source: Source, kind: str, others: Tensors, classes: int) -> Tensors:
    layers, head = HEADS.get(kind, ROBERTA), Tensors()
    for name, tensor in others.items():
        layer, _, part = name.rpartition(".")
        if layer in layers:
            head[f"{layers[layer]}.{part}"] = tensor
        elif not any(unused in name for unused in UNUSED):
            raise refuse_tensor(source, name, f"text classifier of the type {kind}")
    if missing := [layer for layer, own in layers.items() if f"{own}.bias" not in head]:
        msg = f"{source.path} has no {missing[0]}, a layer of its head; save the whole model again"
        raise ModelError(msg)
    if (found := len(head[f"{LAST}.bias"])) != classes:
        msg = f"{source.path} names {classes} labels in config.json and has {found} outputs; mend id2label"
        raise ModelError(msg)
    return head
