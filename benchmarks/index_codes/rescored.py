"""An index of few bits: signs only, or signs that find candidates with finer bits that put them in order.

`python benchmarks/index_codes/rescored.py BUNDLE DATA` prints recall and bytes of each kind for a retrieval model, on
the split `gate`. Rescored kinds are fitted to the sentences of the split `validation`. The product keeps fp32 and int8.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.index_codes import pca_quantizer
from benchmarks.index_codes.pca_quantizer import Arrays
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.retrieval.data import IMAGE, TEXT, QuerySet, load_eval_split
from stillhouse.models.workloads.retrieval.encoders import open_encoders
from stillhouse.models.workloads.retrieval.search.index import first
from stillhouse.models.workloads.retrieval.search.ranks import Vectors

SMALLER = {"binary_rescored": 16, "binary_rescored_finer": 10}
"""Least compression against fp32 of each rescored index, with all its bytes counted."""
FLOAT_BYTES = 4
CANDIDATES, PART = 20, 10
"""The signs find this many candidates per requested answer, but at least a tenth of the gallery."""


def encode(vectors_GD: Vectors, kind: str, queries_QD: Vectors | None = None) -> Arrays:
    """Compress a gallery: `binary`, or a kind of `SMALLER`, which typical queries (Q, D) make better."""
    if kind == "binary":
        return {"signs": np.packbits(vectors_GD > 0, axis=1)}
    return pca_quantizer.encode(vectors_GD, vectors_GD.size * FLOAT_BYTES // SMALLER[kind], queries_QD)


def search(arrays: Arrays, queries_QD: Vectors, k: int) -> NDArray[np.int64]:
    """Return the positions (Q, k) of the most similar gallery vectors, the best first."""
    if "signs" in arrays:
        signs_GD = 2.0 * np.unpackbits(arrays["signs"], axis=1, count=queries_QD.shape[1]) - 1
        return first(np.where(queries_QD > 0, 1.0, -1.0) @ signs_GD.T, k)
    turned_QK = pca_quantizer.project_queries(arrays, queries_QD)
    signs_QG = turned_QK @ pca_quantizer.signs(arrays).T
    few_QC = first(signs_QG, max(CANDIDATES * k, signs_QG.shape[1] // PART))
    finer_QG = turned_QK @ pca_quantizer.levels(arrays).T
    order_Qk = first(np.take_along_axis(finer_QG, few_QC, axis=1), k)
    return np.take_along_axis(few_QC, order_Qk, axis=1)


def main(bundle: Path, data: Path) -> None:
    """Print a line for each kind."""
    encoders = open_encoders(open_bundle(bundle))
    split, typical = load_eval_split(data, "gate"), load_eval_split(data, "validation")
    answers = {name: encoders.of(inputs) for name, inputs in split.inputs.items()}
    queries_QD = np.concatenate([encoders.of(each) for each in typical.inputs.values() if each.encoder == TEXT])
    ways = [way for way in split.query_sets if way.encoders == (TEXT, IMAGE)]
    whole = answers[IMAGE]
    told = _line(lambda asked_QD: first(asked_QD @ whole.T, split.cut), ways, answers)
    print(f"fp32: {told}, {whole.nbytes:,} bytes")
    for kind in ("binary", *SMALLER):
        arrays = encode(whole, kind, queries_QD)
        told = _line(partial(search, arrays, k=split.cut), ways, answers)
        print(f"{kind}: {told}, {sum(array.nbytes for array in arrays.values()):,} bytes")


def _line(find: Callable[[Vectors], NDArray[np.int64]], ways: list[QuerySet], answers: Mapping[str, Vectors]) -> str:
    found = np.concatenate([_found(way, find(answers[way.query][way.rows_Q])) for way in ways])
    return f"recall {found.mean():.4f}"


def _found(way: QuerySet, places_QC: NDArray[np.int64]) -> NDArray[np.bool_]:
    right_Q: NDArray[np.bool_] = (way.gallery_ids_G[places_QC] == way.target_ids_Q[:, None]).any(1)
    return right_Q


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
