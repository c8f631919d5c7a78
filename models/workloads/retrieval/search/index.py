"""An index of unit vectors, in one of several kinds: fp32, int8, signs only, or signs with finer bits for rescoring.

A rescored index finds candidates by their signs and orders them by the finer bits. Search is exact, by numpy: for a
gallery of thousands it is one matrix product. An index stores the name of its vector space, so that a query of another
space is refused and does not get random answers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stillhouse.models.aside import write_aside
from stillhouse.models.errors import ModelError
from stillhouse.models.workloads.retrieval.search import pca_quantizer as principal_codes
from stillhouse.models.workloads.retrieval.search.pca_quantizer import Arrays
from stillhouse.models.workloads.retrieval.search.ranks import Vectors

SMALLER = {"binary_rescored": 16, "binary_rescored_finer": 10}
"""Least compression against fp32 of each rescored index, with all its bytes counted."""
KINDS = ("fp32", "int8", "binary", *SMALLER)
LARGEST = 127
FLOAT_BYTES = 4
CANDIDATES, PART = 20, 10
"""The signs find this many candidates per requested answer, but at least a tenth of the gallery."""


@dataclass(frozen=True)
class Index:
    """Vectors of a gallery, in the form of one index kind."""

    space: str
    """Name of the space of the vectors."""
    kind: str
    """One of KINDS."""
    arrays: Arrays

    @property
    def nbytes(self) -> int:
        """Count the stored bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    def search(self, queries_QD: Vectors, space: str, k: int) -> NDArray[np.int64]:
        """Return the positions (Q, k) of the most similar gallery vectors, the best first.

        Raises:
            ModelError: the queries come from another space.
        """
        if space != self.space:
            msg = f"this index was made in the space {self.space}, the query in {space}; build the index again"
            raise ModelError(msg)
        if self.kind not in SMALLER:
            return first(self._similarity(queries_QD), k)
        turned_QK = principal_codes.project_queries(self.arrays, queries_QD)
        signs_QG = turned_QK @ principal_codes.signs(self.arrays).T
        few_QC = first(signs_QG, max(CANDIDATES * k, signs_QG.shape[1] // PART))
        finer_QG = turned_QK @ principal_codes.levels(self.arrays).T
        order_Qk = first(np.take_along_axis(finer_QG, few_QC, axis=1), k)
        return np.take_along_axis(few_QC, order_Qk, axis=1)

    def save(self, path: Path) -> None:
        """Write to a temporary file, then rename it."""
        with write_aside(path) as aside:
            save_file({name: np.ascontiguousarray(array) for name, array in self.arrays.items()}, aside, self._notes())

    def _notes(self) -> dict[str, str]:
        return {"space": self.space, "kind": self.kind}

    def _similarity(self, queries_QD: Vectors) -> NDArray[np.floating]:
        if self.kind == "binary":
            return self._signs(queries_QD)
        similarity_QG: NDArray[np.floating] = queries_QD @ self.arrays["vectors"].astype(np.float32).T
        return similarity_QG

    def _signs(self, queries_QD: Vectors) -> NDArray[np.floating]:
        """Return the number of equal signs minus the number of different signs."""
        signs_GD = 2.0 * np.unpackbits(self.arrays["signs"], axis=1, count=queries_QD.shape[1]) - 1
        agreement_QG: NDArray[np.floating] = np.where(queries_QD > 0, 1.0, -1.0) @ signs_GD.T
        return agreement_QG


def build_index(vectors_GD: Vectors, space: str, kind: str, queries_QD: Vectors | None = None) -> Index:
    """Build an index of unit vectors (G, D).

    Args:
        vectors_GD: the gallery.
        space: name of the space of the vectors.
        kind: one of KINDS.
        queries_QD: typical queries of that space. A rescored index is optimised for them. None of them is stored.

    Raises:
        ModelError: there is no such kind, or a vector is not finite.
    """
    if kind not in KINDS:
        msg = f"there is no index {kind!r}; use one of {', '.join(KINDS)}"
        raise ModelError(msg)
    if not np.isfinite(vectors_GD).all():
        msg = "a vector of the gallery is not finite; check the images it was made from"
        raise ModelError(msg)
    return Index(space, kind, _arrays(vectors_GD, kind, queries_QD))


def load_index(path: Path) -> Index:
    """Load an index.

    Raises:
        ModelError: the file is missing, damaged or not an index.
    """
    try:
        with safe_open(path, framework="np") as file:
            notes = file.metadata()
            return Index(notes["space"], notes["kind"], {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        msg = f"{path} is not a whole index ({error}); build it again"
        raise ModelError(msg) from error


def first(similarity_QG: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Return the positions (Q, k) of the largest values, the largest first. Of equal values, the first one wins."""
    return np.argsort(-similarity_QG, axis=1, kind="stable")[:, :k]


def _arrays(vectors_GD: Vectors, kind: str, queries_QD: Vectors | None) -> Arrays:
    if kind == "fp32":
        return {"vectors": vectors_GD.astype(np.float32)}
    if kind == "int8":
        # One scale for all vectors does not change the order, so it is not stored.
        return {"vectors": np.round(vectors_GD * (LARGEST / np.abs(vectors_GD).max())).astype(np.int8)}
    if kind == "binary":
        return {"signs": np.packbits(vectors_GD > 0, axis=1)}
    return principal_codes.encode(vectors_GD, vectors_GD.size * FLOAT_BYTES // SMALLER[kind], queries_QD)
