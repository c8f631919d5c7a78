"""Retrieval by hand-written tables: ranks, ties, recall, index kinds, and sentences of every sort."""

from pathlib import Path

import numpy as np
import pytest

from stillhouse.models.data.text import CONTEXT, clean, codes_of
from stillhouse.models.errors import ModelError
from stillhouse.models.workloads.retrieval.data import IMAGE, TEXT, EvalSplit, Inputs, QuerySet
from stillhouse.models.workloads.retrieval.search.index import KINDS, build_index, load_index
from stillhouse.models.workloads.retrieval.search.ranks import ranks, recall


@pytest.mark.parametrize(
    ("similarity_G", "right", "place"),
    [
        ([0.9, 0.1, 0.5], 0, 0),
        ([0.9, 0.1, 0.5], 2, 1),
        ([0.9, 0.1, 0.5], 1, 2),
        ([0.9, 0.9, 0.5], 0, 1),  # a tie counts against whoever asked
        ([0.5, 0.5, 0.5], 1, 2),
    ],
)
def test_ranks_count_all_that_are_as_similar(similarity_G: list[float], right: int, place: int) -> None:
    """The place of the right answer is the number of others at least as similar."""
    assert ranks(np.array([similarity_G]), np.arange(3)[None] == right).tolist() == [place]


def test_the_first_of_several_right_answers_counts() -> None:
    """Right answers do not stand in each other's way."""
    right_QG = np.array([[True, True, False, False], [False, True, True, False]])
    assert ranks(np.array([[0.9, 0.9, 0.5, 0.1], [0.9, 0.8, 0.8, 0.1]]), right_QG).tolist() == [0, 1]


def split_of(
    texts: dict[str, np.ndarray], images_ND: np.ndarray, cut: int = 1
) -> tuple[EvalSplit, dict[str, np.ndarray]]:
    """A split in which every sentence asks for its picture and every picture for its sentence, with their vectors."""
    own_N = np.arange(len(images_ND))
    query_sets = []
    for language in texts:
        query_sets.append(QuerySet(language, IMAGE, (TEXT, IMAGE), language, own_N, own_N, own_N, own_N))
        query_sets.append(QuerySet(IMAGE, language, (IMAGE, TEXT), language, own_N, own_N, own_N, own_N))
    inputs = {IMAGE: Inputs(IMAGE, own_N)} | {language: Inputs(TEXT, own_N) for language in texts}
    return EvalSplit(inputs, query_sets, len(images_ND), cut, own_N, own_N, "gate"), {IMAGE: images_ND, **texts}


def test_both_ways_are_asked() -> None:
    """With two pictures near one sentence, one way fails and the other does not."""
    images_ND = np.array([[1.0, 0.0], [0.8, 0.6]], np.float32)
    split, answers = split_of({"en": np.array([[0.8, 0.6], [0.6, 0.8]], np.float32)}, images_ND)
    to_image, to_text = (way.ranks(answers, answers).tolist() for way in split.query_sets)
    assert [way.direction for way in split.query_sets] == ["text_to_image", "image_to_text"]
    assert (to_image, to_text) == ([1, 0], [0, 1])


@pytest.mark.parametrize(("k", "expected"), [(1, 0.25), (2, 0.5), (5, 0.75), (10, 1.0)])
def test_recall_is_the_share_within_k(k: int, expected: float) -> None:
    """Four queries whose answers stand at 1, 2, 5 and 10."""
    assert recall(np.array([0, 1, 4, 9]), k) == expected


def test_quality_averages_ways_and_languages() -> None:
    """An example found in one language of two, both ways, has half a hit; within two, all of two."""
    images_ND = np.eye(2, dtype=np.float32)
    for cut, expected in ((1, 0.5), (2, 1.0)):
        split, answers = split_of({"en": images_ND, "xx": images_ND[::-1]}, images_ND, cut)
        assert split.per_example_recall(answers, answers).tolist() == [expected, expected]


@pytest.mark.parametrize(("right", "cut", "chance"), [(1, 1, 0.1), (1, 10, 1.0), (2, 1, 0.2), (2, 2, 1 - 0.8 * 7 / 9)])
def test_chance_is_that_of_answers_drawn_at_random(right: int, cut: int, chance: float) -> None:
    """Of ten pictures, one or two are right."""
    gallery_ids_G = np.where(np.arange(10) < right, 0, np.arange(10))
    way = QuerySet(TEXT, IMAGE, (TEXT, IMAGE), "en", np.array([0]), np.array([0]), gallery_ids_G, np.array([0]))
    assert way.chances(cut).tolist() == pytest.approx([chance])


def unit(count: int, dimension: int, seed: int) -> np.ndarray:
    """Random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_an_index_of_int8_is_smaller_and_finds_nearly_as_much() -> None:
    """Noisy copies of 500 vectors find their originals as the fp32 index does, from a quarter of the bytes."""
    gallery_GD = unit(500, 128, 1)
    queries_QD = gallery_GD + 0.12 * np.random.default_rng(2).standard_normal((500, 128)).astype(np.float32)
    whole, index = (build_index(gallery_GD, "here", name) for name in KINDS)
    found = [(each.search(queries_QD, "here", 1)[:, 0] == np.arange(500)).mean() for each in (whole, index)]
    assert whole.nbytes / index.nbytes == 4
    assert found[1] >= 0.99 * found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_index_comes_back_from_disk(tmp_path: Path, kind: str) -> None:
    """What was saved answers as before."""
    index = build_index(unit(50, 32, 1), "here", kind)
    index.save(tmp_path / "index.safetensors")
    queries_QD = unit(5, 32, 2)
    found = load_index(tmp_path / "index.safetensors").search(queries_QD, "here", 3)
    assert np.array_equal(found, index.search(queries_QD, "here", 3))


def test_a_query_of_another_space_is_refused() -> None:
    """The sentence names both spaces."""
    with pytest.raises(ModelError, match="made in the space here, the query in there"):
        build_index(unit(5, 8, 1), "here", "fp32").search(unit(1, 8, 2), "there", 1)


def test_a_vector_that_is_not_finite_is_not_indexed() -> None:
    """NaN would be found by every query."""
    with pytest.raises(ModelError, match="not finite"):
        build_index(np.full((2, 4), np.nan, np.float32), "here", "int8")


@pytest.mark.parametrize("damage", [b"", b"garbage that is no index at all"])
def test_a_damaged_index_is_refused(tmp_path: Path, damage: bytes) -> None:
    """The sentence names the file."""
    path = tmp_path / "index.safetensors"
    path.write_bytes(damage)
    with pytest.raises(ModelError, match=r"index\.safetensors is not a whole index"):
        load_index(path)


@pytest.mark.parametrize(
    ("sentence", "cleaned"),
    [
        ("Red  Heart", " red heart "),
        ("\uff32ed\theart\n", " red heart "),
        ("re\u200bd", " red "),
        ("STRASSE", " strasse "),
        ("stra\u00dfe", " strasse "),
        ("\u8d64\u3044", " \u8d64\u3044 "),
    ],
)
def test_sentences_that_look_alike_are_alike(sentence: str, cleaned: str) -> None:
    """Width, case, invisible characters and spaces do not count."""
    assert clean(sentence) == cleaned


@pytest.mark.parametrize("sentence", ["", "   ", "\u200b\u200d"])
def test_an_empty_sentence_is_refused(sentence: str) -> None:
    """Nothing visible is nothing asked."""
    with pytest.raises(ModelError, match="is empty"):
        codes_of([sentence])


def test_codes_are_filled_up_and_cut_off() -> None:
    """Each row is as long as the longest sentence, and none longer than the context."""
    codes_NL = codes_of(["a", "x" * 500])
    assert codes_NL.shape == (2, CONTEXT)
    assert codes_NL[0].tolist()[:4] == [32, 97, 32, 0]
