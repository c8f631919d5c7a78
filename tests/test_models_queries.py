"""Which examples of a split are independent, and that no interval counts the others as if they were."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from data_samples import built_emoji_small, built_stamps_small

from stillhouse.models.data.captions import load_captions
from stillhouse.models.data.sound.audio import load_recordings
from stillhouse.models.evaluation.compare import compare_pairs, difference, quality, ratio
from stillhouse.models.evaluation.outcomes import Scores
from stillhouse.models.workloads.retrieval.data import (
    IMAGE,
    TEXT,
    EvalSplit,
    Inputs,
    QuerySet,
    load_eval_split,
    merge_groups,
)
from stillhouse.models.workloads.retrieval.details import Answers
from stillhouse.models.workloads.retrieval.runtime import Retrieval, backward_compatibility, scores_of

MEASURES: dict[str, Callable[["Asked"], dict[str, Any]]] = {
    "quality": lambda asked: quality(asked.scores("student"), CONFIDENCE),
    "ratio to the teacher": lambda asked: ratio(*asked.both, CONFIDENCE),
    "paired difference, to the teacher or the champion": lambda asked: difference(*asked.both, CONFIDENCE),
    "backward compatibility": lambda asked: backward_compatibility(asked.split, asked.answers, CONFIDENCE),
}
CONFIDENCE = 0.9
COUNT = 50


@dataclass(frozen=True)
class Asked:
    """What two models answered to a split."""

    split: EvalSplit
    answers: dict[str, Answers]

    def scores(self, model: str) -> Scores:
        return scores_of(self.split, self.answers[model], self.answers[model])

    @property
    def both(self) -> tuple[Scores, Scores]:
        return self.scores("teacher"), self.scores("student")

    def paired(self) -> dict[str, Any]:
        teacher, student = (
            Retrieval().outcomes(self.split, self.answers[model], self.answers["teacher"])
            for model in ("teacher", "student")
        )
        return compare_pairs(teacher, student, CONFIDENCE)


def asked_with(copies: int) -> Asked:
    """Two models over a split of 50 labels, each with as many recordings that are alike."""
    random = np.random.default_rng(1)
    labels_N = np.repeat(np.arange(COUNT), copies)
    images_GD = random.standard_normal((COUNT, 8)).astype(np.float32)
    rows_Q, labels_G = np.arange(len(labels_N)), np.arange(COUNT)
    way = QuerySet(TEXT, IMAGE, (TEXT, IMAGE), "en", rows_Q, labels_N, labels_G, rows_Q)
    split = EvalSplit({IMAGE: Inputs(IMAGE, labels_G)}, [way], len(labels_N), 3, labels_G, labels_N, "gate")
    answers = {}
    for model, noise in (("teacher", 0.8), ("student", 1.0)):
        texts_GD = images_GD + noise * random.standard_normal((COUNT, 8)).astype(np.float32)
        answers[model] = {IMAGE: images_GD, TEXT: np.repeat(texts_GD, copies, axis=0)}
    return Asked(split, answers)


@pytest.mark.parametrize("copies", [2, 3, 7])
@pytest.mark.parametrize("name", MEASURES)
def test_recordings_of_one_label_do_not_narrow_an_interval(name: str, copies: int) -> None:
    """As many labels with several recordings each, all found or all not, leave an interval as wide as one each does."""
    once, often = (MEASURES[name](asked_with(many)) for many in (1, copies))
    assert often["value"] == pytest.approx(once["value"])
    assert often["interval"] == pytest.approx(once["interval"])
    assert once["interval"][0] < once["value"] < once["interval"][1]


def test_the_sign_test_counts_labels() -> None:
    """The p-value does not fall because labels are asked for more often; `discordant` still counts examples."""
    once, often = (asked_with(copies).paired() for copies in (1, 5))
    assert often["mcnemar_p"] == once["mcnemar_p"]
    assert often["discordant"] == tuple(5 * count for count in once["discordant"])


def test_recordings_of_one_label_are_one_group_in_every_language() -> None:
    """Small stamps have labels that are said in several languages: each is one group, and so are synonyms."""
    folder = built_stamps_small()
    split, recordings, captions = (
        load_eval_split(folder, "gate"),
        load_recordings(folder, "gate"),
        load_captions(folder),
    )
    assert len(set(split.groups_N.tolist())) < split.count
    of_label: dict[int, set[int]] = {}
    for label, group in zip(recordings.labels_N.tolist(), split.groups_N.tolist(), strict=True):
        of_label.setdefault(label, set()).add(group)
    assert {len(groups) for groups in of_label.values()} == {1}
    said = dict(zip(zip(captions.labels_N.tolist(), captions.languages, strict=True), captions.names, strict=True))
    for (one, groups), (other, others) in itertools.combinations(of_label.items(), 2):
        if any(said.get((one, language)) == said.get((other, language), "") for language in captions.languages):
            assert groups == others


def test_drawings_of_different_labels_are_independent() -> None:
    """A split of one style has each label once, so every drawing is a group of its own."""
    split = load_eval_split(built_emoji_small(), "gate")
    assert len(set(split.groups_N.tolist())) == split.count


@pytest.mark.parametrize(
    ("groups", "same", "merged"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1, 2, 3], [0, 0, 2, 3], [0, 0, 2, 3]),
        ([0, 0, 2, 3], [0, 1, 1, 3], [0, 0, 0, 3]),
        ([0, 0, 2, 2], [0, 1, 1, 3], [0, 0, 0, 0]),
        ([0, 1, 0, 3], [0, 1, 2, 1], [0, 1, 0, 1]),
    ],
)
def test_labels_of_the_same_words_are_joined(groups: list[int], same: list[int], merged: list[int]) -> None:
    """Two labels that are called the same in one language are one group, and so is what hangs on either of them."""
    found = merge_groups(np.array(groups), np.array(same)).tolist()
    assert [found.index(each) for each in found] == [merged.index(each) for each in merged]
