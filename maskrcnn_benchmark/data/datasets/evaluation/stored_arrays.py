"""A long list of small arrays that lies in a temporary file instead of in memory."""

from __future__ import annotations

import os
import tempfile
from array import array as numbers
from collections.abc import Callable, Iterator, Sequence
from typing import overload

import numpy as np

_AT_ONCE = 256  # arrays that are read together where all are gone through


class StoredArrays(Sequence):
    """Arrays [n, columns] (or [n]) of one type; written once, read at any place. In memory each takes eight bytes.

    >>> stored = StoredArrays(np.int64, 2)
    >>> stored.append([[1, 2], [3, 4]]); stored.append([]); stored.append([[5, 6]])
    >>> stored[0].tolist(), stored[1].shape, len(stored)
    ([[1, 2], [3, 4]], (0, 2), 3)
    >>> stored.joined(np.array([2, 0, 1])).tolist()
    [[5, 6], [1, 2], [3, 4]]
    """

    def __init__(self, dtype, columns: int | None = None):
        self.dtype, self.columns = np.dtype(dtype), columns
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the list is there)
        self._starts, self._unflushed = numbers("q", [0]), False

    def append(self, array) -> None:
        """Add an array."""
        data = np.ascontiguousarray(array, dtype=self.dtype).tobytes()
        self._file.write(data)
        self._starts.append(self._starts[-1] + len(data))
        self._unflushed = True

    def __iter__(self) -> Iterator[np.ndarray]:
        for first, last in self._blocks():
            ends = np.cumsum(self.lengths(np.arange(first, last)))
            yield from np.split(self._shaped(self._read(first, last)), ends[:-1])

    def change(self, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Give every row another content; `change` gets the rows of many arrays and gives as many."""
        for first, last in self._blocks():
            data = change(self._shaped(self._read(first, last))).astype(self.dtype).tobytes()
            os.pwrite(self._file.fileno(), data, self._starts[first])

    def _blocks(self) -> Iterator[tuple[int, int]]:
        """First places and ends of arrays that are read together."""
        for first in range(0, len(self), _AT_ONCE):
            yield first, min(first + _AT_ONCE, len(self))

    def joined(self, places: np.ndarray) -> np.ndarray:
        """The arrays at int [m] places, one after the other, as one; neighbours are read at once."""
        runs = np.split(places, np.flatnonzero(np.diff(places) != 1) + 1)
        return self._shaped(b"".join(self._read(run[0], run[-1] + 1) for run in runs if len(run)))

    def lengths(self, places: np.ndarray) -> np.ndarray:
        """How many rows each of the arrays at int [m] places has, int64 [m]."""
        starts = np.frombuffer(self._starts, dtype=np.int64)
        return (starts[places + 1] - starts[places]) // (self.dtype.itemsize * (self.columns or 1))

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._shaped(self._read(index, index + 1))

    def _read(self, first: int, end: int) -> bytes:
        """The bytes of the arrays from one place up to another."""
        if self._unflushed:
            self._file.flush()
            self._unflushed = False
        start = self._starts[first]
        return os.pread(self._file.fileno(), self._starts[end] - start, start)

    def _shaped(self, data: bytes) -> np.ndarray:
        values = np.frombuffer(data, dtype=self.dtype)
        return values if self.columns is None else values.reshape(-1, self.columns)
