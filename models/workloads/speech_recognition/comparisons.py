"""Compare the error rates of teacher and student on the same recordings, with intervals over stamps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from stillhouse.models.data.sound.utterances import Utterances
from stillhouse.models.measurement.statistics import bootstrap_pairs
from stillhouse.models.measurement.transcription import Unit, count_errors

UNITS: Mapping[str, Unit] = {"fewer_character_errors": "characters", "fewer_word_errors": "words"}
"""Comparison -> what it counts. Above 0 the student makes fewer errors than the teacher."""


def compare_errors(split: Utterances, texts: Mapping[str, Sequence[str]], confidence: float) -> dict[str, Any]:
    """Return the teacher's error rate minus the student's, by characters and by words.

    The interval is a paired bootstrap over groups: recordings of one stamp say the same in several languages.

    Args:
        split: the recordings.
        texts: `teacher` and `student` -> what the model read.
        confidence: two-sided.
    """
    return {name: _compare(split, texts, unit, confidence) for name, unit in UNITS.items()}


def _compare(split: Utterances, texts: Mapping[str, Sequence[str]], unit: Unit, confidence: float) -> dict[str, Any]:
    teacher, student = (count_errors(split.texts, texts[model], unit) for model in ("teacher", "student"))
    lengths_N = teacher.lengths_N.astype(np.float64)
    teacher_N, student_N = (1 - errors.each / lengths_N for errors in (teacher, student))
    _, interval = bootstrap_pairs(teacher_N, student_N, confidence, split.labels_N, lengths_N)
    return {"value": teacher.rate - student.rate, "interval": interval}
