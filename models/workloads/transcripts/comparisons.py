"""Compare the error rates of teacher and student on the same examples, with intervals over their groups."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stillhouse.models.measurement.statistics import Groups, bootstrap_pairs
from stillhouse.models.measurement.transcription import Unit, count_errors

UNITS: Mapping[str, Unit] = {"fewer_character_errors": "characters", "fewer_word_errors": "words"}
"""Comparison -> what it counts. Above 0 the student makes fewer errors than the teacher."""


def compare_errors(
    references: Sequence[str], texts: Mapping[str, Sequence[str]], confidence: float, groups_N: Groups | None = None
) -> dict[str, Any]:
    """Return the teacher's error rate minus the student's, by characters and by words.

    The interval is a paired bootstrap over groups.

    Args:
        references: the true texts.
        texts: `teacher` and `student` -> what the model read.
        confidence: two-sided.
        groups_N: such as recordings of one stamp, which say the same in several languages. None: all are independent.
    """
    return {name: _compare(references, texts, unit, (confidence, groups_N)) for name, unit in UNITS.items()}


def _compare(
    references: Sequence[str],
    texts: Mapping[str, Sequence[str]],
    unit: Unit,
    how: tuple[float, Groups | None],
) -> dict[str, Any]:
    teacher, student = (count_errors(references, texts[model], unit) for model in ("teacher", "student"))
    lengths_N = teacher.lengths_N.astype(np.float64)
    teacher_N, student_N = (1 - errors.each / lengths_N for errors in (teacher, student))
    _, interval = bootstrap_pairs(teacher_N, student_N, *how, lengths_N)
    return {"value": teacher.rate - student.rate, "interval": interval}
