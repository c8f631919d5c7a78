"""Convert texts to token numbers with the tokenizer file that ships beside a model.

Padding is 0 here. A tokenizer with another padding number has the two numbers exchanged, as the model's table has.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stillhouse.models.errors import ModelError

TOKENIZER = "tokenizer.json"
Tokens = NDArray[np.int64]


class Tokenizer:
    """An opened tokenizer file."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            ModelError: it is no tokenizer.
        """
        from tokenizers import Tokenizer as Library

        try:
            self._library = Library.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            msg = f"{path} is no tokenizer file ({' '.join(str(error).split())[:200]}); save the tokenizer again"
            raise ModelError(msg) from error
        self._padding = int((self._library.padding or {}).get("pad_id", 0))

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return int(self._library.get_vocab_size())

    def ids_of(self, texts: Sequence[str]) -> Tokens:
        """Return token numbers (N, T), padded with 0 to the longest of these texts."""
        rows = [encoding.ids for encoding in self._library.encode_batch_fast(list(texts))]
        ids_NT = np.array(rows, np.int64).reshape(len(rows), -1)
        return self._exchange(ids_NT) if self._padding else ids_NT

    def _exchange(self, ids_NT: Tokens) -> Tokens:
        """Exchange the padding's number with 0."""
        table = np.arange(max(self.vocabulary, self._padding + 1))
        table[[0, self._padding]] = self._padding, 0
        return table[ids_NT]


def split_by_length(ids_NT: Tokens, at_once: int) -> list[NDArray[np.int64]]:
    """Return the places of the texts in batches, those of similar length together."""
    order = np.argsort((ids_NT != 0).sum(1), kind="stable")
    return [order[start : start + at_once] for start in range(0, len(order), at_once)]
