"""Error rates of two models on the same texts, and the kinds of their errors."""

from collections.abc import Mapping, Sequence
from typing import Any

from stillhouse.models.measurement.transcription import Errors, count_errors

Texts = Mapping[str, Sequence[str]]
"""`teacher` and `student` -> what the model read."""


def rates(name: str, references: Sequence[str], texts: Texts) -> dict[str, Any]:
    """Return the error rates of both models, and the shares of inserted, deleted and substituted characters.

    Args:
        name: what the references have in common, for a reader.
        references: the true texts.
        texts: what each model read.
    """
    return {"name": name, "count": len(references)} | {model: _rates(references, own) for model, own in texts.items()}


def share_changed(expected: Sequence[str], texts: Sequence[str]) -> float:
    """Return the letters that are inserted, deleted or substituted, as a share of the expected ones."""
    pairs = [(wanted, text) for wanted, text in zip(expected, texts, strict=True) if wanted]
    errors = count_errors([wanted for wanted, _ in pairs], [text for _, text in pairs], "characters")
    out_of_nothing = sum(len(text) for wanted, text in zip(expected, texts, strict=True) if not wanted)
    return float((errors.each.sum() + out_of_nothing) / max(1, errors.lengths_N.sum()))


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
