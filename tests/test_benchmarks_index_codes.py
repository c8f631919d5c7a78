"""Few bits by hand-written tables: levels, packing, who gets how many bits, and similarities from what is kept."""

import numpy as np
import pytest

from benchmarks.index_codes import rescored
from benchmarks.index_codes.lloyd_max import (
    MOST,
    dequantize,
    errors,
    levels,
    pack,
    quantize,
    unpack,
)
from benchmarks.index_codes.pca_quantizer import allot_bits, encode, project_queries
from benchmarks.index_codes.pca_quantizer import levels as levels_of
from benchmarks.index_codes.rescored import SMALLER
from stillhouse.models.workloads.retrieval.search.index import first


@pytest.mark.parametrize(
    ("bits", "upper"),
    [(1, [0.7979]), (2, [0.4528, 1.5104]), (3, [0.2451, 0.7560, 1.3439, 2.1519])],
)
def test_levels_are_those_of_lloyd_and_max(bits: int, upper: list[float]) -> None:
    """The table of Max (1960), whose lower half mirrors the upper one."""
    assert levels(bits) == pytest.approx([-level for level in reversed(upper)] + upper, abs=2e-3)


def test_a_bit_more_is_an_error_less() -> None:
    """Max (1960) again; no bits leave the whole variance."""
    assert errors()[:4] == pytest.approx([1.0, 0.3634, 0.1175, 0.0345], abs=5e-4)
    assert (np.diff(errors()) < 0).all()


def test_signs_are_the_first_bits_of_a_row() -> None:
    """Three columns of 3, 2 and 1 bits: the highest bit of each, then the next of those that have one."""
    bits_K = np.array([3, 2, 1], np.uint8)
    rows_NB = pack(np.array([[0b101, 0b01, 0b1]], np.uint8), bits_K)
    assert np.unpackbits(rows_NB)[:6].tolist() == [1, 0, 1, 0, 1, 1]


def test_packed_codes_come_back() -> None:
    """Whatever the widths."""
    bits_K = np.arange(MOST, 0, -1).astype(np.uint8)
    codes_NK = np.random.default_rng(1).integers(0, 2**bits_K, (40, MOST)).astype(np.uint8)
    assert np.array_equal(unpack(pack(codes_NK, bits_K), bits_K), codes_NK)
    assert np.array_equal(quantize(dequantize(codes_NK, bits_K), bits_K), codes_NK)


@pytest.mark.parametrize(
    ("variance", "total", "bits"),
    [
        ([1.0, 1.0, 1.0], 6, [2, 2, 2]),
        ([16.0, 1.0, 0.0], 4, [3, 1]),
        ([1.0, 0.01], 1, [1]),
        ([1.0], 99, [MOST]),
        ([0.0, 0.0], 8, []),
    ],
)
def test_bits_go_where_the_gallery_spreads(variance: list[float], total: int, bits: list[int]) -> None:
    """Alike directions get as many, a narrow one few or none, and nothing spreads for none."""
    assert allot_bits(np.array(variance), total).tolist() == bits


def test_similarities_are_right_on_average() -> None:
    """Along every direction that is kept, the vectors are as long as they were, though each is only near its place."""
    vectors_GD = (np.random.default_rng(1).standard_normal((300, 64)) / np.arange(1, 65)).astype(np.float32)
    centred_GD = vectors_GD - vectors_GD.mean(axis=0)
    arrays = encode(vectors_GD, vectors_GD.nbytes // 16)
    directions_DK = project_queries(arrays, np.eye(64, dtype=np.float32))
    before_GK, after_GK = (each_GD @ directions_DK for each_GD in (centred_GD, levels_of(arrays) @ directions_DK.T))
    assert (before_GK * after_GK).sum(axis=0) == pytest.approx((before_GK**2).sum(axis=0), rel=0.02)
    assert sum(array.nbytes for array in arrays.values()) <= vectors_GD.nbytes // 16


def test_an_error_that_no_query_sees_costs_nothing() -> None:
    """Made for queries that look along a quarter of the directions, as many bytes hold similarities far better."""
    random = np.random.default_rng(1)
    vectors_GD = random.standard_normal((400, 64)).astype(np.float32)
    queries_QD = (random.standard_normal((2000, 64)) * np.repeat([1.0, 0.02], [16, 48])).astype(np.float32)
    exact_QG = queries_QD[1000:] @ (vectors_GD - vectors_GD.mean(axis=0)).T
    errors_of = {}
    for name, typical_QD in (("alike", None), ("weighed", queries_QD[:1000])):
        arrays = encode(vectors_GD, vectors_GD.nbytes // 16, typical_QD)
        assert sum(array.nbytes for array in arrays.values()) <= vectors_GD.nbytes // 16
        found_QG = project_queries(arrays, queries_QD[1000:]) @ levels_of(arrays).T
        errors_of[name] = float(((found_QG - exact_QG) ** 2).mean() / (exact_QG**2).mean())
    assert errors_of["weighed"] < errors_of["alike"] / 4
    assert np.isfinite(project_queries(encode(vectors_GD, vectors_GD.nbytes // 16, queries_QD[:3]), queries_QD)).all()


def unit(count: int, dimension: int, seed: int) -> np.ndarray:
    """Random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("kind", "smaller", "least"),
    [("binary", 32, 0.8), ("binary_rescored", 16, 0.95), ("binary_rescored_finer", 10, 0.99)],
)
def test_every_code_is_smaller_and_finds_nearly_as_much(kind: str, smaller: float, least: float) -> None:
    """Noisy copies of 500 vectors find their originals as the vectors themselves do, from fewer bytes."""
    gallery_GD = unit(500, 128, 1)
    queries_QD = gallery_GD + 0.12 * np.random.default_rng(2).standard_normal((500, 128)).astype(np.float32)
    arrays = rescored.encode(gallery_GD, kind)
    found = rescored.search(arrays, queries_QD, 1)[:, 0] == np.arange(500)
    whole = first(queries_QD @ gallery_GD.T, 1)[:, 0] == np.arange(500)
    assert gallery_GD.nbytes / sum(array.nbytes for array in arrays.values()) >= smaller
    assert found.mean() >= least * whole.mean()


@pytest.mark.parametrize("kind", SMALLER)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_tiny_gallery_is_searched_too(kind: str, count: int) -> None:
    """Even where no directions are to be found, every vector has its place, and finds itself if it may."""
    gallery_GD = unit(count, 16, 1)
    found_Q2 = rescored.search(rescored.encode(gallery_GD, kind), gallery_GD, 2)
    assert found_Q2[:, 0].tolist() == list(range(count))
    assert found_Q2.shape == (count, min(count, 2))


@pytest.mark.parametrize("kind", SMALLER)
def test_vectors_that_are_all_the_same_are_found_in_their_order(kind: str) -> None:
    """Nothing tells them apart, so the first come first."""
    same_GD = np.repeat(unit(1, 16, 1), 9, axis=0)
    assert rescored.search(rescored.encode(same_GD, kind), same_GD[:1], 3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("kind", SMALLER)
def test_a_code_is_the_same_when_made_again(kind: str) -> None:
    """Nothing is drawn by lot."""
    one, other = (rescored.encode(unit(60, 32, 1), kind) for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)
