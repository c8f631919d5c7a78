"""Tensors of one shape in a file without a name. They are read where they are needed, so memory stays flat."""

import os
import tempfile
import weakref
from contextlib import suppress
from typing import IO, Any

import torch
from torch import Tensor

AT_ONCE = 1_000
"""Rows that are read at once, where all rows are needed one after the other."""


class Rows:
    """Rows (N, ...) on disk, read by their places, as those of a tensor are.

    The file lies in the folder of temporary files (`TMPDIR`). It has no name, so nothing is left of it after a kill.
    """

    def __init__(self, group: int | None = None) -> None:
        """Begin without rows.

        Args:
            group: number of rows in a group. Then the rows are read as groups (G, group, ...).
        """
        self._group, self._numbers = group, torch.arange(0)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as its rows are used
        weakref.finalize(self, _close, self._file)
        self._row = torch.zeros(0)

    @property
    def shape(self) -> torch.Size:
        """Number of rows, or of groups and of rows in a group, and the shape of a row."""
        return self._places().shape + self._row.shape

    def __len__(self) -> int:
        """Count the rows, or the groups."""
        return len(self._places())

    def append(self, rows: Tensor) -> None:
        """Write more rows (N, ...). All have one shape and one data type.

        Raises:
            OSError: the disk is full. It names the folder.
        """
        try:
            self._file.write(_bytes_of(rows))
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, tempfile.gettempdir()) from error
        self._row = torch.empty(rows.shape[1:], dtype=rows.dtype, device="meta")
        self._numbers = torch.arange(len(self._numbers) + len(rows))

    def __getitem__(self, where: Any) -> Tensor:  # noqa: ANN401 - all that a tensor takes for its first axes
        """Read the rows at some places."""
        places = self._places()[where]
        size = self._row.numel() * self._row.element_size()
        rows = torch.empty((places.numel(), *self._row.shape), dtype=self._row.dtype)
        lines = _bytes_of(rows).reshape(-1, max(1, size))
        for line, place in zip(lines, places.flatten().tolist(), strict=True):
            os.preadv(self._file.fileno(), [line], place * size)
        return rows.view(places.shape + self._row.shape)

    def _places(self) -> Tensor:
        return self._numbers if self._group is None else self._numbers.view(-1, self._group)


def parts_of(count: int, at_once: int = AT_ONCE) -> list[slice]:
    """Return the places of all rows, some at once."""
    return [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]


def _close(file: IO[bytes]) -> None:
    """Close a file. What a full disk did not take is lost, as its writer was told."""
    with suppress(OSError):
        file.close()


def _bytes_of(rows: Tensor) -> Any:  # noqa: ANN401 - numpy's array of bytes
    return rows.contiguous().flatten().view(torch.uint8).numpy()
