"""A long list of small arrays that lies in a temporary file instead of in memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from typing import overload

import numpy as np


class StoredArrays(Sequence):
    """Arrays [n, columns] (or [n]) of one type; written once, read at any place.

    >>> stored = StoredArrays(np.int64, 2)
    >>> stored.append([[1, 2], [3, 4]]); stored.append([])
    >>> stored[0].tolist(), stored[1].shape, len(stored)
    ([[1, 2], [3, 4]], (0, 2), 2)
    """

    def __init__(self, dtype, columns: int | None = None):
        self.dtype, self.columns = np.dtype(dtype), columns
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (open as long as the list is there)
        self._starts, self._unflushed = [0], False

    def append(self, array) -> None:
        """Add an array."""
        data = np.ascontiguousarray(array, dtype=self.dtype).tobytes()
        self._file.write(data)
        self._starts.append(self._starts[-1] + len(data))
        self._unflushed = True

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> StoredArrays:
        """The arrays after a change, each."""
        stored = StoredArrays(self.dtype, self.columns)
        for array in self:
            stored.append(change(array))
        return stored

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
        if self._unflushed:
            self._file.flush()
            self._unflushed = False
        start, end = self._starts[index], self._starts[index + 1]
        values = np.frombuffer(os.pread(self._file.fileno(), end - start, start), dtype=self.dtype)
        return values if self.columns is None else values.reshape(-1, self.columns)
