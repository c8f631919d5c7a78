"""Error rates of two models on the same texts, and the kinds of their errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.models.measurement.transcription import Errors, count_errors

Texts = Mapping[str, Sequence[str]]
"""`teacher` and `student` -> what the model read."""


def rates(references: Sequence[str], texts: Texts) -> dict[str, Any]:
    """Return the error rates of both models, and the shares of inserted, deleted and substituted characters."""
    return {"count": len(references)} | {name: _rates(references, own) for name, own in texts.items()}


def _rates(references: Sequence[str], texts: Sequence[str]) -> dict[str, float]:
    characters, words = (count_errors(references, texts, unit) for unit in ("characters", "words"))
    return {"cer": characters.rate, "wer": words.rate} | _kinds(characters)


def _kinds(errors: Errors) -> dict[str, float]:
    total = max(1, int(errors.lengths_N.sum()))
    kinds = {
        "insertions": errors.insertions_N,
        "deletions": errors.deletions_N,
        "substitutions": errors.substitutions_N,
    }
    return {name: float(counts_N.sum() / total) for name, counts_N in kinds.items()}
