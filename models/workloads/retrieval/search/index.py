"""An index of unit vectors, in fp32 or int8.

Search is exact, by numpy: for a gallery of thousands it is one matrix product. An index stores the name of its vector
space, so that a query of another space is refused and does not get random answers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from stillhouse.models.aside import write_aside
from stillhouse.models.errors import ModelError
from stillhouse.models.workloads.retrieval.search.ranks import Vectors

KINDS = ("fp32", "int8")
LARGEST = 127


@dataclass(frozen=True)
class Index:
    """Vectors of a gallery, in the form of one index kind."""

    space: str
    """Name of the space of the vectors."""
    kind: str
    """One of KINDS."""
    vectors_GD: NDArray[np.float32] | NDArray[np.int8]

    @property
    def nbytes(self) -> int:
        """Count the stored bytes."""
        return self.vectors_GD.nbytes

    def search(self, queries_QD: Vectors, space: str, k: int) -> NDArray[np.int64]:
        """Return the positions (Q, k) of the most similar gallery vectors, the best first.

        Raises:
            ModelError: the queries come from another space.
        """
        if space != self.space:
            msg = f"this index was made in the space {self.space}, the query in {space}; build the index again"
            raise ModelError(msg)
        return first(queries_QD @ self.vectors_GD.astype(np.float32).T, k)

    def save(self, path: Path) -> None:
        """Write to a temporary file, then rename it."""
        with write_aside(path) as aside:
            save_file({"vectors": self.vectors_GD}, aside, {"space": self.space, "kind": self.kind})


def build_index(vectors_GD: Vectors, space: str, kind: str) -> Index:
    """Build an index of unit vectors (G, D).

    Args:
        vectors_GD: the gallery.
        space: name of the space of the vectors.
        kind: one of KINDS.

    Raises:
        ModelError: there is no such kind, or a vector is not finite.
    """
    if kind not in KINDS:
        msg = f"there is no index {kind!r}; use one of {', '.join(KINDS)}"
        raise ModelError(msg)
    if not np.isfinite(vectors_GD).all():
        msg = "a vector of the gallery is not finite; check the images it was made from"
        raise ModelError(msg)
    # One scale for all vectors does not change the order, so it is not stored.
    if kind == "int8":
        return Index(space, kind, np.round(vectors_GD * (LARGEST / np.abs(vectors_GD).max())).astype(np.int8))
    return Index(space, kind, vectors_GD.astype(np.float32))


def load_index(path: Path) -> Index:
    """Load an index.

    Raises:
        ModelError: the file is missing, damaged or not an index.
    """
    try:
        with safe_open(path, framework="np") as file:
            notes = file.metadata()
            return Index(notes["space"], notes["kind"], file.get_tensor("vectors"))
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        msg = f"{path} is not a whole index ({error}); build it again"
        raise ModelError(msg) from error


def first(similarity_QG: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Return the positions (Q, k) of the largest values, the largest first. Of equal values, the first one wins."""
    return np.argsort(-similarity_QG, axis=1, kind="stable")[:, :k]
