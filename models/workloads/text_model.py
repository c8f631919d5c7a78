"""A shipped model that reads texts: one ONNX file and its tokenizer, and what all its workloads ask of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from stillhouse.models.data.text import trim_padding
from stillhouse.models.data.texts import load_texts
from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import Bundle
from stillhouse.models.runtime.session import open_session, predict
from stillhouse.models.runtime.tokens import TOKENIZER, Tokenizer, Tokens
from stillhouse.models.workloads.base import Request, spread
from stillhouse.models.workloads.registry import ALONE

PACKAGES = ("tokenizers",)
"""Packages that the runtime needs besides ONNX Runtime and numpy."""
BODIES = 64
"""Number of different requests for a load test."""
TOKENS = 16
"""Tokens of the raw input that memory and processor time are measured with."""


class TextModel:
    """An opened bundle: its tokenizer and its network."""

    def __init__(self, bundle: Bundle) -> None:
        """Open the files.

        Raises:
            ModelError: the bundle has no tokenizer, or a file is damaged.
        """
        self.session: onnxruntime.InferenceSession = open_session(bundle.file(ALONE))
        self.tokenizer = Tokenizer(_tokenizer_of(bundle))

    def answer(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the outputs (N, K) for texts: vectors or logits."""
        return self.of(self.ids_of(texts))

    def ids_of(self, texts: Sequence[str]) -> Tokens:
        """Return the tokens of texts (N, T).

        Raises:
            ModelError: a text is empty, or no text.
        """
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                msg = f"the text {str(text)[:40]!r} is empty or no text; give at least one visible character"
                raise ModelError(msg)
        return self.tokenizer.ids_of(texts)

    def of(self, ids_NT: Tokens) -> NDArray[np.float32]:
        """Return the outputs (N, K) for tokens.

        Each text runs alone. Integer products scale a whole batch at once, so its answer would depend on the others.
        """
        return np.concatenate([predict(self.session, trim_padding(ids_1T)) for ids_1T in ids_NT[:, None]])


def one_request(texts: Sequence[str]) -> Request:
    """Return a text of middle length. Its tokens are made within the timed call, as a server makes them."""
    return Request({ALONE: np.ones((1, TOKENS), np.int64)}, sorted(texts, key=len)[len(texts) // 2])


def open_call(bundle: Bundle, request: Request) -> Callable[[], object]:
    """Open a model again. The call makes tokens of the request's text and runs the network."""
    model = TextModel(bundle)
    name = model.session.get_inputs()[0].name
    return lambda: model.session.run(None, {name: model.tokenizer.ids_of([request.body])})


def raw_inputs(bundle: Bundle, texts: Sequence[str], most: int) -> dict[str, list[NDArray[Any]]]:
    """Return the tokens (1, T) of at most `most` texts."""
    model = TextModel(bundle)
    return {ALONE: [model.ids_of([texts[place]]) for place in spread(len(texts), most)]}


def sample_requests(data: Path) -> tuple[str, list[bytes]]:
    """Return a media type and texts of the gate split."""
    return "text/plain", [text.encode() for text in load_texts(data, "gate")[:BODIES]]


def _tokenizer_of(bundle: Bundle) -> Path:
    for path in bundle.components.get(ALONE, ()):
        if path.name == TOKENIZER:
            return path
    msg = f"the bundle has no {TOKENIZER}; run the stage export again"
    raise ModelError(msg)
