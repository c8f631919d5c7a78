"""What is compared with the champion slice by slice: every class, or every language, on the examples that it has."""

from typing import Any

import numpy as np
import pytest

from stillhouse.models.data.images import Images
from stillhouse.models.evaluation.compare import slice_differences
from stillhouse.models.workloads.image_classification.runtime import ImageClassification
from stillhouse.models.workloads.retrieval.data import IMAGE, TEXT, EvalSplit, Inputs, QuerySet
from stillhouse.models.workloads.retrieval.runtime import Retrieval

CONFIDENCE = 0.9


def by_class(answers: dict[str, Any], labels: list[int], names: list[str]) -> dict[str, Any]:
    """Difference of two models in each class."""
    split = (Images(np.zeros((len(labels), 1, 2, 2), np.uint8), np.array(labels)), names)
    teacher, student = (
        ImageClassification().outcomes(split, answers[model], answers["teacher"]) for model in ("teacher", "student")
    )
    return slice_differences(teacher, student, CONFIDENCE)


def test_a_class_that_got_worse_is_seen_behind_one_that_got_better() -> None:
    """The whole is unchanged, one class loses a half and another gains it; a class without examples has no slice."""
    labels_N = np.repeat([0, 1], 40)
    wrong_N = np.where(np.arange(80) % 2 == 0, labels_N, 2)
    answers = {
        "teacher": np.where(labels_N == 0, labels_N, wrong_N),
        "student": np.where(labels_N == 1, labels_N, wrong_N),
    }
    found = by_class(answers, labels_N.tolist(), ["cat", "dog", "bird"])
    assert {name: each["value"] for name, each in found.items()} == {"cat": -0.5, "dog": 0.5}
    assert found["cat"]["interval"][1] < 0 < found["dog"]["interval"][0]


@pytest.mark.parametrize(("count", "most"), [(1, -0.5), (10, -0.05), (1000, -0.0005)])
def test_a_small_class_is_not_known_to_be_as_good(count: int, most: float) -> None:
    """The fewer examples, the wider the interval, even where the two are right on all."""
    right = {"teacher": np.zeros(count, np.int64), "student": np.zeros(count, np.int64)}
    low, high = by_class(right, [0] * count, ["cat"])["cat"]["interval"]
    assert low < most
    assert high > 0


def split(languages: dict[str, list[int]]) -> EvalSplit:
    """A split of pictures, each asked for in some languages: language -> which examples."""
    count = 1 + max(max(examples) for examples in languages.values())
    all_N, inputs, query_sets = np.arange(count), {IMAGE: Inputs(IMAGE, np.zeros((count, 1)))}, []
    for language, examples in languages.items():
        own_Q, key = np.array(examples), f"{TEXT}:{language}"
        inputs[key] = Inputs(TEXT, np.zeros((count, 1)))
        query_sets.append(QuerySet(key, IMAGE, (TEXT, IMAGE), language, own_Q, own_Q, all_N, own_Q))
    return EvalSplit(inputs, query_sets, count, 1, all_N, all_N, "gate")


def answers(asked: EvalSplit, lost: dict[str, list[int]]) -> dict[str, Any]:
    """Give vectors with which every query finds its picture, but for some examples of a language."""
    vectors = {key: np.eye(asked.count) for key in asked.inputs}
    for language, examples in lost.items():
        for example in examples:
            vectors[f"{TEXT}:{language}"][example] = np.roll(np.eye(asked.count)[example], 1)
    return vectors


def compared(asked: EvalSplit, lost: dict[str, list[int]], language: str) -> dict[str, Any]:
    teacher, student = (Retrieval().outcomes(asked, answers(asked, what), {}) for what in ({}, lost))
    return slice_differences(teacher, student, CONFIDENCE)[language]


@pytest.mark.parametrize(
    ("languages", "lost", "language", "value"),
    [
        ({"de": [0, 1, 2, 3], "en": [0, 1, 2, 3]}, {"de": [0, 1]}, "de", -0.5),
        ({"de": [0, 1, 2, 3], "en": [0, 1, 2, 3]}, {"de": [0, 1]}, "en", 0.0),
        ({"de": [1, 3], "en": [0, 2, 4, 5]}, {"de": [3], "en": [0]}, "de", -0.5),
        ({"de": [1, 3], "en": [0, 2, 4, 5]}, {"de": [3], "en": [0]}, "en", -0.25),
        ({"de": [5], "en": [0, 1, 2, 3, 4]}, {"en": [0]}, "de", 0.0),
    ],
)
def test_a_language_is_judged_on_what_is_asked_in_it(
    languages: dict[str, list[int]], lost: dict[str, list[int]], language: str, value: float
) -> None:
    """What another language lost does not count, whether the two ask for the same examples or for others."""
    found = compared(split(languages), lost, language)
    assert found["value"] == pytest.approx(value)
    assert found["interval"][0] <= value <= found["interval"][1]


def test_of_a_language_with_one_example_nothing_is_known() -> None:
    """One example has no spread, so its interval is all that a difference can be."""
    found = compared(split({"de": [5], "en": [0, 1, 2, 3, 4]}), {}, "de")
    assert found["interval"] == (-1.0, 1.0)
