"""Compare texts with their references: character and word error rates, by the library jiwer.

An error is an inserted, a deleted or a substituted character or word. A rate is the errors over the length of all
references, so a long text counts more than a short one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import jiwer

Counts = NDArray[np.int64]
Unit = Literal["characters", "words"]
KINDS = ("insert", "delete", "substitute")
"""Kinds of errors, as jiwer names them."""


@dataclass(frozen=True)
class Errors:
    """Errors of some texts, each as one number for each text."""

    insertions_N: Counts
    deletions_N: Counts
    substitutions_N: Counts
    lengths_N: Counts
    """Characters or words of the references."""

    @property
    def each(self) -> Counts:
        """Return all errors of each text."""
        return self.insertions_N + self.deletions_N + self.substitutions_N

    @property
    def rate(self) -> float:
        """Return the error rate; NaN without references."""
        return float(self.each.sum() / total) if (total := self.lengths_N.sum()) else float("nan")


def count_errors(references: Sequence[str], texts: Sequence[str], unit: Unit) -> Errors:
    """Count the errors of each text. References must not be empty."""
    import jiwer

    if not references:
        none_N = np.zeros(0, np.int64)
        return Errors(none_N, none_N, none_N, none_N)
    process = jiwer.process_characters if unit == "characters" else jiwer.process_words
    found = process(list(references), list(texts))
    insertions_N, deletions_N, substitutions_N = (
        np.array([_count(chunks, kind) for chunks in found.alignments], np.int64) for kind in KINDS
    )
    lengths_N = np.array([len(reference) for reference in found.references], np.int64)
    return Errors(insertions_N, deletions_N, substitutions_N, lengths_N)


def _count(chunks: Sequence["jiwer.AlignmentChunk"], kind: str) -> int:
    """Count the errors of a kind in one alignment."""
    chosen = [chunk for chunk in chunks if chunk.type == kind]
    if kind == "insert":
        return sum(chunk.hyp_end_idx - chunk.hyp_start_idx for chunk in chosen)
    return sum(chunk.ref_end_idx - chunk.ref_start_idx for chunk in chosen)
