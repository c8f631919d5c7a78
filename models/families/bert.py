"""Read a BERT-like encoder from a folder as transformers or sentence-transformers write it. No code of it is run.

The weights get the names of `models.networks.texts.bert`. The tokenizer stays as it is, except for its longest length.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.inspection.source import Source
from stillhouse.models.runtime.tokens import TOKENIZER
from stillhouse.models.training.checkpoint import Architecture

NETWORK = "bert"
LAYERS = {
    "attention.self.query": "attention.query",
    "attention.self.key": "attention.key",
    "attention.self.value": "attention.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "mlp.0",
    "output.dense": "mlp.2",
    "output.LayerNorm": "norm2",
    "attention.q_lin": "attention.query",
    "attention.k_lin": "attention.key",
    "attention.v_lin": "attention.value",
    "attention.out_lin": "attention.output",
    "sa_layer_norm": "norm1",
    "ffn.lin1": "mlp.0",
    "ffn.lin2": "mlp.2",
    "output_layer_norm": "norm2",
}
"""Part of a block in BERT, RoBERTa and DistilBERT -> its name in our network."""
BLOCK = re.compile(r"^(?:encoder|transformer)\.layer\.(\d+)\.(.+)\.(weight|bias)$")
UNUSED = ("pooler.", "cls.", "lm_head.", "vocab_", "embeddings.position_ids")
"""Beginnings of tensors that no sentence vector needs."""
WORDS, PLACES, TYPES = (f"embeddings.{each}_embeddings.weight" for each in ("word", "position", "token_type"))
OFFSETS = {"roberta": 2, "xlm-roberta": 2, "camembert": 2, "xlm_roberta": 2}
"""Model type -> rows of the position table before that of the first token."""
GELU = ("gelu", "gelu_python")
CHAIN = (".Transformer", ".Pooling", ".Normalize")
"""Modules of sentence-transformers that our network has. It always ends with unit vectors: the cosines are the same."""
POOLED = "the folder has no 1_Pooling/config.json; assumed that a text's vector is the mean of its tokens"


def adopt_bert(source: Source) -> Adopted:
    """Read the folder of a BERT-like encoder.

    Raises:
        ModelError: it has another architecture, or a part is missing or of another shape. The message says which.
    """
    _refuse_modules(source)
    config = _Config(source)
    tensors = _own_names(source, config)
    architecture = Architecture(NETWORK, config.arguments, 1.0, (config.positions,))
    module = architecture.build()
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        msg = f"{source.path} does not hold the weights that its config.json describes ({_short(error)}); save it again"
        raise ModelError(msg) from error
    files = {TOKENIZER: _tokenizer(source.path, config)}
    return Adopted(module.eval(), architecture, files, () if _modes(source.path) else (POOLED,))


def _refuse_modules(source: Source) -> None:
    """Refuse a chain of sentence-transformers with a part that our network has not."""
    for module in source.modules:
        if not module.endswith(CHAIN):
            msg = f"{source.path} chains {module}, which is not read here; export the whole model to ONNX"
            raise ModelError(msg)


class _Config:
    """The sizes in config.json, under the names of BERT or of DistilBERT."""

    def __init__(self, source: Source) -> None:
        self.source, self.config = source, source.config
        self.kind = str(self.config.get("model_type"))
        self.offset = OFFSETS.get(self.kind, 0)
        self.padding = int(self.config.get("pad_token_id") or 0)
        self._refuse_others()
        places = int(self._size("max_position_embeddings")) - self.offset
        self.positions = min(places, _longest(source.path, places))

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of our network."""
        return {
            "vocabulary": self._size("vocab_size"),
            "positions": self.positions,
            "width": self._size("hidden_size", "dim"),
            "heads": self._size("num_attention_heads", "n_heads"),
            "hidden": self._size("intermediate_size", "hidden_dim"),
            "depth": self._size("num_hidden_layers", "n_layers"),
            "pooling": _pooling(self.source.path),
            "epsilon": float(self.config.get("layer_norm_eps", 1e-12)),
        }

    def _size(self, *names: str) -> int:
        for name in names:
            if isinstance(self.config.get(name), int):
                return int(self.config[name])
        msg = f"{self.source.path / 'config.json'} has no {names[0]}; save the model again with save_pretrained"
        raise ModelError(msg)

    def _refuse_others(self) -> None:
        activation = self.config.get("hidden_act", self.config.get("activation", "gelu"))
        positions = self.config.get("position_embedding_type", "absolute")
        for what, found, known in (("activation", activation, GELU), ("positions", positions, ("absolute",))):
            if found not in known:
                msg = f"{self.source.path} has {what} {found}, which is not read here; export it to ONNX and name that"
                raise ModelError(msg)


def _own_names(source: Source, config: _Config) -> dict[str, Tensor]:
    found = {_bare(name): tensor.float() for file in source.files for name, tensor in load_file(file).items()}
    own: dict[str, Tensor] = {}
    for name, tensor in found.items():
        if block := BLOCK.match(name):
            own[f"blocks.{block[1]}.{_layer(block[2], source)}.{block[3]}"] = tensor
        elif name.startswith("embeddings.LayerNorm."):
            own[name.replace("embeddings.LayerNorm", "norm")] = tensor
        elif not name.startswith(UNUSED) and name not in {WORDS, PLACES, TYPES}:
            msg = f"{source.path} has the tensor {name}, which no BERT-like encoder has; export the model to ONNX"
            raise ModelError(msg)
    return own | _tables(found, config, source)


def _tables(found: Mapping[str, Tensor], config: _Config, source: Source) -> dict[str, Tensor]:
    if missing := [name for name in (WORDS, PLACES) if name not in found]:
        msg = f"{source.path} has no {missing[0]}; save the whole model again"
        raise ModelError(msg)
    places = found[PLACES][config.offset : config.offset + config.positions]
    types = found.get(TYPES)
    words = found[WORDS].clone()
    words[[0, config.padding]] = words[[config.padding, 0]]  # padding is 0 in our network
    return {"tokens.weight": words, "places.weight": places if types is None else places + types[0]}


def _bare(name: str) -> str:
    """Remove the words before the encoder's own name, such as `bert.`."""
    found = re.search(r"(?:^|\.)((?:embeddings|encoder\.layer|transformer\.layer)\..*)$", name)
    return found[1] if found else name


def _layer(name: str, source: Source) -> str:
    if name not in LAYERS:
        msg = f"{source.path} has the layer {name}, which no BERT-like encoder has; export the model to ONNX"
        raise ModelError(msg)
    return LAYERS[name]


def _pooling(folder: Path) -> str:
    """Read how sentence-transformers makes one vector of the tokens. Without its files it is the mean."""
    chosen = _modes(folder)
    if chosen in (["pooling_mode_mean_tokens"], []):
        return "mean"
    if chosen == ["pooling_mode_cls_token"]:
        return "first"
    msg = f"{folder} pools by {' and '.join(chosen)}, which is not read here; export the model to ONNX"
    raise ModelError(msg)


def _modes(folder: Path) -> list[str]:
    modes = _json(folder / "1_Pooling" / "config.json")
    return [name for name, value in modes.items() if name.startswith("pooling_mode_") and value is True]


def _longest(folder: Path, places: int) -> int:
    """Return the most tokens of a text, as sentence-transformers limits them."""
    return int(_json(folder / "sentence_bert_config.json").get("max_seq_length") or places)


def _tokenizer(folder: Path, config: _Config) -> bytes:
    content = _json(folder / TOKENIZER)
    if "model" not in content:
        msg = f"{folder} has no {TOKENIZER}; save its tokenizer with AutoTokenizer.from_pretrained(...).save_pretrained"
        raise ModelError(msg)
    cut = {"direction": "Right", "max_length": config.positions, "strategy": "LongestFirst", "stride": 0}
    named = {token["id"]: token["content"] for token in content.get("added_tokens", ())}
    padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_type_id": 0}
    padding |= {"pad_id": config.padding, "pad_token": named.get(config.padding, "[PAD]")}
    content |= {"truncation": cut, "padding": padding}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        msg = f"{path} is no valid JSON; save the model again"
        raise ModelError(msg) from error
    return content if isinstance(content, dict) else {}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
