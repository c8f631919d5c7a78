"""Tensors of one shape in a file without a name. They are read where they are needed, so memory stays flat."""

import os
import tempfile
import weakref
from typing import Any

import torch
from torch import Tensor


class Rows:
    """Groups of equally many rows (G, N, ...) on disk, read by their places, as those of a tensor are.

    The file lies in the folder of temporary files (`TMPDIR`). It has no name, so nothing is left of it after a kill.
    """

    def __init__(self) -> None:
        """Begin without rows."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as its rows are used
        weakref.finalize(self, self._file.close)
        self._places = torch.zeros((0, 0), dtype=torch.long)
        self._row = torch.zeros(0)

    @property
    def shape(self) -> torch.Size:
        """Groups, rows of a group, and the shape of a row."""
        return self._places.shape + self._row.shape

    def append(self, group: Tensor) -> None:
        """Write one more group (N, ...). All groups have one shape and one data type.

        Raises:
            OSError: the disk is full.
        """
        self._file.write(_bytes_of(group))
        self._file.flush()
        self._row = torch.empty(group.shape[1:], dtype=group.dtype, device="meta")
        self._places = torch.arange((len(self._places) + 1) * len(group)).view(-1, len(group))

    def __getitem__(self, where: Any) -> Tensor:  # noqa: ANN401 - all that a tensor takes for its first two axes
        """Read the rows at some places."""
        places = self._places[where]
        size = self._row.numel() * self._row.element_size()
        rows = torch.empty((places.numel(), *self._row.shape), dtype=self._row.dtype)
        lines = _bytes_of(rows).reshape(-1, max(1, size))
        for line, place in zip(lines, places.flatten().tolist(), strict=True):
            os.preadv(self._file.fileno(), [line], place * size)
        return rows.view(places.shape + self._row.shape)


def _bytes_of(rows: Tensor) -> Any:  # noqa: ANN401 - numpy's array of bytes
    return rows.contiguous().flatten().view(torch.uint8).numpy()
