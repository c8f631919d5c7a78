"""Retrieval by hand-written tables: ranks, ties, recall, index kinds, and sentences of every sort."""

from pathlib import Path

import numpy as np
import pytest

from models.errors import ModelError
from models.index import KINDS, build_index, load_index
from models.inputs.text import CONTEXT, clean, codes_of
from models.retrieval import both_ways, hits, ranks, recall


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
    assert ranks(np.array([similarity_G]), np.array([right])).tolist() == [place]


def test_both_ways_are_sentences_to_pictures_then_pictures_to_sentences() -> None:
    """With two pictures near one sentence, one way fails and the other does not."""
    images_ND = np.array([[1.0, 0.0], [0.8, 0.6]], np.float32)
    texts_ND = np.array([[0.8, 0.6], [0.6, 0.8]], np.float32)
    text_to_image, image_to_text = both_ways(images_ND, texts_ND).tolist()
    assert text_to_image == [1, 0]
    assert image_to_text == [0, 1]


@pytest.mark.parametrize(("k", "expected"), [(1, 0.25), (2, 0.5), (5, 0.75), (10, 1.0)])
def test_recall_is_the_share_within_k(k: int, expected: float) -> None:
    """Four queries whose answers stand at 1, 2, 5 and 10."""
    assert recall(np.array([0, 1, 4, 9]), k) == expected


def test_hits_average_ways_and_languages() -> None:
    """A concept found in one language of two, both ways, has half a hit."""
    images_ND = np.eye(2, dtype=np.float32)
    assert hits(images_ND, np.stack([images_ND, images_ND[::-1]])).tolist() == [0.5, 0.5]


def unit(count: int, dimension: int, seed: int) -> np.ndarray:
    """Random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("kind", "smaller", "least"), [("int8", 4, 0.99), ("binary", 32, 0.8), ("binary_rescored", 15, 0.95)]
)
def test_every_index_is_smaller_and_finds_nearly_as_much(kind: str, smaller: float, least: float) -> None:
    """Noisy copies of 500 vectors find their originals as the whole index does, from fewer bytes."""
    gallery_GD = unit(500, 128, 1)
    queries_QD = gallery_GD + 0.12 * np.random.default_rng(2).standard_normal((500, 128)).astype(np.float32)
    whole, index = (build_index(gallery_GD, "here", name) for name in ("fp32", kind))
    found = [(each.search(queries_QD, "here", 1)[:, 0] == np.arange(500)).mean() for each in (whole, index)]
    assert whole.nbytes / index.nbytes >= smaller
    assert found[1] >= least * found[0]


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
