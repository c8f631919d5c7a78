"""Small text encoders and classifiers, saved in a folder as transformers and sentence-transformers save them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from stillhouse.models.data.description import describe
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.families.bert import adopt_bert
from stillhouse.models.families.bert_classifier import adopt_text_classifier
from stillhouse.models.inspection.source import find_source
from stillhouse.models.onnx.export import export_model
from stillhouse.models.runtime.bundle import write_bundle
from stillhouse.models.runtime.tokens import TOKENIZER
from stillhouse.models.workloads.registry import ALONE

SIZES = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
DISTIL = {"dim": 96, "n_layers": 3, "n_heads": 4, "hidden_dim": 128}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def write_encoder(folder: Path, texts: list[str], kind: str = "bert", pooling: str = "mean_tokens") -> Path:
    """Save an encoder with random weights and a tokenizer of these texts. Returns the folder."""
    import transformers

    folder.mkdir(parents=True)
    torch.manual_seed(5)
    model = transformers.AutoModel.from_config(_config(_save_tokenizer(folder, texts), kind))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes), encoding="utf-8")
    chained = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling")]
    (folder / "modules.json").write_text(json.dumps(chained), encoding="utf-8")
    return folder


def write_classifier(folder: Path, texts: list[str], labels: Sequence[str], kind: str = "bert", **keys: object) -> Path:
    """Save a text classifier with random weights and a tokenizer of these texts. Returns the folder."""
    import transformers

    folder.mkdir(parents=True)
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: number for number, name in enumerate(labels)}}
    config = _config(_save_tokenizer(folder, texts), kind, **named, **keys)
    torch.manual_seed(5)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def train_classifier(
    folder: Path, texts: list[str], classes: Sequence[int], labels: Sequence[str], blocks: int = 2
) -> Path:
    """Save a text classifier of few blocks that was trained on these texts. Returns the folder."""
    import transformers

    folder.mkdir(parents=True)
    tokens = _save_tokenizer(folder, texts)
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: number for number, name in enumerate(labels)}}
    torch.manual_seed(5)
    config = _config(tokens, "bert", num_hidden_layers=blocks, **named)
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    tokens.enable_padding(pad_id=0)
    ids_NT = torch.tensor([found.ids for found in tokens.encode_batch(texts)])
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for _ in range(3):
        for index_B in torch.randperm(len(texts)).split(32):
            known_B = torch.tensor(classes)[index_B]
            inside_BT = (ids_NT[index_B] != 0).long()
            model(input_ids=ids_NT[index_B], attention_mask=inside_BT, labels=known_B).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def ship_classifier(folder: Path, data: Path, made: Path) -> Path:
    """Export the classifier of a folder in fp32 as a bundle into an empty folder. Returns it."""
    adopted = adopt_text_classifier(find_source(folder), data)
    return _ship(adopted, "text_classification", made, labels=describe(data)["labels"])


def ship_encoder(folder: Path, made: Path) -> Path:
    """Export the encoder of a folder in fp32 as a bundle into an empty folder. Returns it."""
    return _ship(adopt_bert(find_source(folder)), "text_embedding", made)


def _ship(adopted: Adopted, workload: str, made: Path, **about: Any) -> Path:
    export_model(adopted.module, adopted.architecture, np.ones((1, 8), np.int64), made / "model.onnx")
    (made / TOKENIZER).write_bytes(adopted.files[TOKENIZER])
    write_bundle(made, workload, {ALONE: [made / "model.onnx", made / TOKENIZER]}, **about)
    return made


def ask_library(folder: Path, ids_NT: torch.Tensor, *, first: bool = False) -> torch.Tensor:
    """Return the unit vectors that transformers itself gives."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    inside_NT = (ids_NT != 0).long()
    with torch.no_grad():
        tokens_NTC = model(input_ids=ids_NT, attention_mask=inside_NT).last_hidden_state
    means_NC = (tokens_NTC * inside_NT[..., None]).sum(1) / inside_NT.sum(1, keepdim=True)
    return torch.nn.functional.normalize(tokens_NTC[:, 0] if first else means_NC, dim=1)


def _config(tokens: Tokenizer, kind: str, **others: Any) -> Any:
    import transformers

    sizes: dict[str, Any] = DISTIL if kind == "distilbert" else SIZES
    known = {"vocab_size": tokens.get_vocab_size(), "max_position_embeddings": 40, "pad_token_id": 0}
    return transformers.AutoConfig.for_model(kind, **{**known, **sizes, **others})


def _save_tokenizer(folder: Path, texts: list[str]) -> Tokenizer:
    tokens = _tokenizer(texts)
    tokens.save(str(folder / "tokenizer.json"))
    return tokens


def _tokenizer(texts: list[str]) -> Tokenizer:
    tokens = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of a text
    tokens.normalizer, tokens.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokens.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL))
    ends = [(name, tokens.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokens.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokens
