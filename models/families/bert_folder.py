"""Read what every folder of a BERT-like model has: sizes, blocks, tables and tokenizer. No code of it is run.

The weights get the names of `models.networks.texts.bert`. The tokenizer stays as it is, except for its longest length.
What stands behind the body, such as a pooling or a head, is read by `bert` and `bert_classifier`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stillhouse.models.errors import ModelError
from stillhouse.models.families.adopted import Adopted
from stillhouse.models.inspection.source import Source
from stillhouse.models.runtime.tokens import TOKENIZER
from stillhouse.models.training.checkpoint import Architecture

BERT_LIKE = ("bert", "roberta", "xlm-roberta", "camembert", "distilbert")
"""Types of models that are read."""
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
Tensors = dict[str, Tensor]
BLOCK = re.compile(r"^(?:encoder|transformer)\.layer\.(\d+)\.(.+)\.(weight|bias)$")
WORDS, PLACES, TYPES = (f"embeddings.{each}_embeddings.weight" for each in ("word", "position", "token_type"))
COUNT_FROM_PADDING = ("roberta", "xlm-roberta", "camembert")
"""Model types whose first token has the row of the position table behind that of the padding's number."""
REMEDY = "bring it in by a package of your own (docs/your-own-model.md)"
"""What to do with a model of texts that computes something else. The workloads of texts read no ONNX file."""
GELU = ("gelu", "gelu_python")


def expect_bert_like(source: Source, use: str) -> None:
    """Expect a folder to hold a BERT-like model with a tokenizer. No weights are read.

    Args:
        source: the folder.
        use: what is to read it, such as `text embedding`.

    Raises:
        ModelError: it holds another model, or lacks a tokenizer.
    """
    kind = str(source.config.get("model_type"))
    if source.format != "transformers" or kind not in BERT_LIKE:
        what = f"of the type {kind}" if source.format == "transformers" else f"in the format {source.format}"
        msg = f"{source.path} is {what}; {use} reads {', '.join(BERT_LIKE)} in safetensors"
        raise ModelError(msg)
    _tokenizer(source.path, Sizes(source))


class Sizes:
    """The sizes in config.json, under the names of BERT or of DistilBERT."""

    def __init__(self, source: Source) -> None:
        """Read them.

        Raises:
            ModelError: a size is missing, or the model computes something that our network does not.
        """
        self.source, self.config = source, source.config
        self.kind = str(self.config.get("model_type"))
        self.padding = int(self.config.get("pad_token_id") or 0)
        self.offset = self.padding + 1 if self.kind in COUNT_FROM_PADDING else 0
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
                msg = f"{self.source.path} has {what} {found}, which is not read here; {REMEDY}"
                raise ModelError(msg)


def split_tensors(source: Source, sizes: Sizes) -> tuple[Tensors, Tensors]:
    """Return the tensors of the body by their names in our network, and all others by their own names.

    Raises:
        ModelError: a file is damaged, a table is missing, or a block has a layer that no BERT-like model has.
    """
    body, others, tables = Tensors(), Tensors(), Tensors()
    for name, tensor in _load(source).items():
        bare = _bare(name)
        if block := BLOCK.match(bare):
            body[f"blocks.{block[1]}.{_layer(block[2], source)}.{block[3]}"] = tensor
        elif bare.startswith("embeddings.LayerNorm."):
            body[bare.replace("embeddings.LayerNorm", "norm")] = tensor
        elif bare in {WORDS, PLACES, TYPES}:
            tables[bare] = tensor
        else:
            others[bare] = tensor
    return body | _tables(tables, sizes, source), others


def refuse_tensor(source: Source, name: str, what: str) -> ModelError:
    """Return the error for a tensor that would be left out."""
    return ModelError(f"{source.path} has the tensor {name}, which no {what} has; {REMEDY}")


def adopt_tensors(
    source: Source, sizes: Sizes, architecture: Architecture, tensors: Tensors, notes: tuple[str, ...]
) -> Adopted:
    """Build the network, give it the tensors, and read the tokenizer.

    Raises:
        ModelError: a tensor is missing or of another shape, or the tokenizer is missing.
    """
    module = architecture.build()
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        msg = f"{source.path} does not hold the weights that its config.json describes ({_short(error)}); save it again"
        raise ModelError(msg) from error
    return Adopted(module.eval(), architecture, {TOKENIZER: _tokenizer(source.path, sizes)}, notes)


def _load(source: Source) -> Tensors:
    try:
        return {name: tensor.float() for file in source.files for name, tensor in load_file(file).items()}
    except SafetensorError as error:
        msg = f"{source.path} has a damaged .safetensors file ({_short(error)}); copy it again"
        raise ModelError(msg) from error


def _tables(found: Mapping[str, Tensor], sizes: Sizes, source: Source) -> Tensors:
    if missing := [name for name in (WORDS, PLACES) if name not in found]:
        msg = f"{source.path} has no {missing[0]}; save the whole model again"
        raise ModelError(msg)
    places = found[PLACES][sizes.offset : sizes.offset + sizes.positions]
    types = found.get(TYPES)
    words = found[WORDS].clone()
    words[[0, sizes.padding]] = words[[sizes.padding, 0]]  # padding is 0 in our network
    return {"tokens.weight": words, "places.weight": places if types is None else places + types[0]}


def _bare(name: str) -> str:
    """Remove the words before the encoder's own name, such as `bert.`."""
    found = re.search(r"(?:^|\.)((?:embeddings|encoder\.layer|transformer\.layer)\..*)$", name)
    return found[1] if found else name


def _layer(name: str, source: Source) -> str:
    if name not in LAYERS:
        msg = f"{source.path} has the layer {name}, which no BERT-like encoder has; {REMEDY}"
        raise ModelError(msg)
    return LAYERS[name]


def _longest(folder: Path, places: int) -> int:
    """Return the most tokens of a text, as sentence-transformers limits them."""
    return int(read_json(folder / "sentence_bert_config.json").get("max_seq_length") or places)


def _tokenizer(folder: Path, sizes: Sizes) -> bytes:
    content = read_json(folder / TOKENIZER)
    if "model" not in content:
        msg = f"{folder} has no {TOKENIZER}; save its tokenizer with AutoTokenizer.from_pretrained(...).save_pretrained"
        raise ModelError(msg)
    cut = {"direction": "Right", "max_length": sizes.positions, "strategy": "LongestFirst", "stride": 0}
    named = {token["id"]: token["content"] for token in content.get("added_tokens", ())}
    padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_type_id": 0}
    padding |= {"pad_id": sizes.padding, "pad_token": named.get(sizes.padding, "[PAD]")}
    content |= {"truncation": cut, "padding": padding}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one.

    Raises:
        ModelError: it is no JSON.
    """
    try:
        content = json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError as error:
        msg = f"{path} is no valid JSON; save the model again"
        raise ModelError(msg) from error
    return content if isinstance(content, dict) else {}


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
