"""Letters of frames become a text: greedily, and with a beam and a language model."""

import itertools
import math

import numpy as np
import pytest

from stillhouse.models.workloads.speech_recognition.beam import MODEL_WEIGHT, read_with_beam
from stillhouse.models.workloads.speech_recognition.language_model import END, LanguageModel
from stillhouse.models.workloads.transcripts.marked import mark_errors
from stillhouse.models.workloads.transcripts.spelling import number_letters, read_greedily

LETTERS = [" ", "a", "b"]


def _logits(path: list[int], sure: float = 10.0) -> np.ndarray:
    logits_FV = np.zeros((len(path), len(LETTERS) + 1), np.float32)
    logits_FV[np.arange(len(path)), path] = sure
    return logits_FV


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ([0, 0, 0], ""),
        ([2, 2, 2], "a"),
        ([2, 0, 2], "aa"),
        ([2, 2, 3, 3, 0, 3], "abb"),
        ([1, 2, 1, 0, 3, 1], "a b"),
        ([0, 3, 0, 0, 2, 0], "ba"),
    ],
)
def test_repeated_letters_count_once_unless_a_blank_is_between(path: list[int], text: str) -> None:
    """Greedy reading joins equal neighbours, drops blanks and trims spaces."""
    assert read_greedily(_logits(path), LETTERS) == text


def test_letters_become_numbers_from_one() -> None:
    """Texts are rows of letter numbers, padded with 0."""
    assert number_letters(["ab", "b a", ""], LETTERS).tolist() == [[2, 3, 0], [3, 1, 2], [0, 0, 0]]


def test_the_chances_after_a_text_add_up_to_one() -> None:
    """The language model gives a distribution over the letters that it has seen, and one for all others."""
    model = LanguageModel(["ab", "abb", "ba"])
    for before in ("", "a", "ab", "zz"):
        total = sum(math.exp(model.log_chance(letter, before)) for letter in ["a", "b", END, "?"])
        assert total == pytest.approx(1)


def test_the_language_model_prefers_what_it_has_read() -> None:
    """After "un cha", "t" is likelier than "x"."""
    model = LanguageModel(["un chat", "un chien", "un chat noir"])
    assert model.log_chance("t", "un cha") > model.log_chance("x", "un cha") + 2


def test_a_beam_finds_the_best_text_of_all() -> None:
    """On short inputs, the beam finds the text that an exhaustive search over all paths finds."""
    generator = np.random.default_rng(5)
    model = LanguageModel(["ab ba", "abab", "ba"])
    for _ in range(5):
        logits_FV = generator.normal(0, 2, (4, 4)).astype(np.float32)
        logs_FV = logits_FV - np.logaddexp.reduce(logits_FV, axis=1, keepdims=True)
        chances: dict[str, float] = {}
        for path in itertools.product(range(4), repeat=4):
            text = "".join(LETTERS[number - 1] for number, _ in itertools.groupby(path) if number)
            chances[text] = chances.get(text, 0.0) + math.exp(
                sum(logs_FV[frame, number] for frame, number in enumerate(path))
            )

        def score(text: str, chances: dict[str, float] = chances) -> float:
            prior = sum(MODEL_WEIGHT * model.log_chance(text[place], text[:place]) + 1.0 for place in range(len(text)))
            return math.log(chances[text]) + prior + MODEL_WEIGHT * model.log_chance(END, text)

        assert read_with_beam(logits_FV, LETTERS, model) == max(chances, key=score).strip()


def test_errors_are_marked_and_escaped() -> None:
    """What is too much, what is missing and what is wrong are told apart, and HTML stays text."""
    assert mark_errors("abc", "abc") == "abc"
    assert mark_errors("abc", "abcd") == "abc<ins>d</ins>"
    assert mark_errors("abc", "ac") == "a<del>b</del>c"
    assert mark_errors("abc", "axc") == 'a<b title="b">x</b>c'
    assert mark_errors("a<", "a<") == "a&lt;"
