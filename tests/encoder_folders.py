"""Small text encoders, saved in a folder as transformers and sentence-transformers save them."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SIZES = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
DISTIL = {"dim": 96, "n_layers": 3, "n_heads": 4, "hidden_dim": 128}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def write_encoder(folder: Path, texts: list[str], kind: str = "bert", pooling: str = "mean_tokens") -> Path:
    """Save an encoder with random weights and a tokenizer of these texts. Returns the folder."""
    import transformers

    tokens = _tokenizer(texts)
    folder.mkdir(parents=True)
    tokens.save(str(folder / "tokenizer.json"))
    torch.manual_seed(5)
    sizes: dict[str, Any] = DISTIL if kind == "distilbert" else SIZES
    config = transformers.AutoConfig.for_model(
        kind, vocab_size=tokens.get_vocab_size(), max_position_embeddings=40, pad_token_id=0, **sizes
    )
    model = transformers.AutoModel.from_config(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes), encoding="utf-8")
    chained = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling")]
    (folder / "modules.json").write_text(json.dumps(chained), encoding="utf-8")
    return folder


def ask_library(folder: Path, ids_NT: torch.Tensor, *, first: bool = False) -> torch.Tensor:
    """Return the unit vectors that transformers itself gives."""
    import transformers

    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    inside_NT = (ids_NT != 0).long()
    with torch.no_grad():
        tokens_NTC = model(input_ids=ids_NT, attention_mask=inside_NT).last_hidden_state
    means_NC = (tokens_NTC * inside_NT[..., None]).sum(1) / inside_NT.sum(1, keepdim=True)
    return torch.nn.functional.normalize(tokens_NTC[:, 0] if first else means_NC, dim=1)


def _tokenizer(texts: list[str]) -> Tokenizer:
    tokens = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of a text
    tokens.normalizer, tokens.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokens.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL))
    ends = [(name, tokens.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokens.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokens
