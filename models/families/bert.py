"""Read a BERT-like encoder from a folder as transformers or sentence-transformers write it. No code of it is run."""

from pathlib import Path

from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.bert_folder import (
    REMEDY,
    Sizes,
    adopt_tensors,
    expect_bert_like,
    read_json,
    refuse_tensor,
    split_tensors,
)
from stillhouse.models.inspection.source import Source
from stillhouse.models.training.checkpoint import Architecture

NETWORK = "bert"
USE = "text embedding"
UNUSED = ("pooler.", "cls.", "lm_head.", "vocab_", "embeddings.position_ids")
"""Beginnings of tensors that no sentence vector needs."""
CHAIN = (".Transformer", ".Pooling", ".Normalize")
"""Modules of sentence-transformers that our network has. It always ends with unit vectors: the cosines are the same."""
POOLED = "the folder has no 1_Pooling/config.json; assumed that a text's vector is the mean of its tokens"


def adopt_bert(source: Source) -> Adopted:
    """Read the folder of a BERT-like encoder.

    Raises:
        ModelError: it has another architecture, or a part is missing or of another shape. The message says which.
    """
    expect_bert_like(source, USE)
    _refuse_modules(source)
    sizes = Sizes(source)
    tensors, others = split_tensors(source, sizes)
    for name in others:
        if not name.startswith(UNUSED):
            raise refuse_tensor(source, name, "BERT-like encoder")
    arguments = sizes.arguments | {"pooling": _pooling(source.path)}
    architecture = Architecture(NETWORK, arguments, 1.0, (sizes.positions,))
    return adopt_tensors(source, sizes, architecture, tensors, () if _modes(source.path) else (POOLED,))


def _refuse_modules(source: Source) -> None:
    """Refuse a chain of sentence-transformers with a part that our network has not."""
    for module in source.modules:
        if not module.endswith(CHAIN):
            msg = f"{source.path} chains {module}, which is not read here; {REMEDY}"
            raise ModelError(msg)


def _pooling(folder: Path) -> str:
    """Read how sentence-transformers makes one vector of the tokens. Without its files it is the mean."""
    chosen = _modes(folder)
    if chosen in (["pooling_mode_mean_tokens"], []):
        return "mean"
    if chosen == ["pooling_mode_cls_token"]:
        return "first"
    msg = f"{folder} pools by {' and '.join(chosen)}, which is not read here; {REMEDY}"
    raise ModelError(msg)


def _modes(folder: Path) -> list[str]:
    modes = read_json(folder / "1_Pooling" / "config.json")
    return [name for name, value in modes.items() if name.startswith("pooling_mode_") and value is True]
