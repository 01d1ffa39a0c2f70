"""Statistics of data sets with many classes: counts that are kept sparse, and made dense only where that is asked for.

O classes and R predicates, background included. A table [O, O, R] of 70,098 classes and 1,807 predicates would need
64 TiB; what was counted in it is at most as much as there are relations.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from torch import Tensor

from maskrcnn_benchmark.utils.errors import InputError

from .vg_format import Graphs

DENSE_BYTES = 256 * 2**20  # tables up to this size are plain tensors


class SparseCounts:
    """How often classes stand in relations, and how often their boxes are pairs.

    Args:
        triplets: (subject class, object class, predicate) int [M, 3].
        shares: what each counts, float [M]; None: one.
        pairs: chunks of (subject class, object class) int [n, 2].
        shape: (O, O, R).
    """

    def __init__(self, triplets: np.ndarray, shares: np.ndarray | None, pairs: Iterable[np.ndarray], shape: tuple):
        classes, _, predicates = self.shape = shape
        columns = triplets[:, 1] * predicates + triplets[:, 2]
        values = np.ones(len(triplets), dtype=np.int64) if shares is None else shares
        self.relations = _summed(values, triplets[:, 0], columns, (classes, classes * predicates))
        self.pairs = csr_array((classes, classes), dtype=np.int64)
        for chunk in pairs:
            self.pairs += _summed(np.ones(len(chunk), dtype=np.int64), *chunk.T, (classes, classes))

    def row(self, subject: int) -> np.ndarray:
        """What SGB's `fg_matrix` holds of a subject class: [O, R], in channel 0 the pairs, counted from one on."""
        found = self.relations[[subject]].toarray().reshape(self.shape[1:])
        found[:, 0] = self.pairs[[subject]].toarray()[0] + 1
        return found

    def total(self, gone: tuple[int, ...]) -> np.ndarray:
        """The sum of `fg_matrix` over axes 0, 1 or both."""
        counted, classes, predicates = self.relations.tocoo(), *self.shape[1:]
        subjects, (objects, labels) = counted.row, np.divmod(counted.col, predicates)
        kept = [(0, subjects), (1, objects)]
        rows = next((values for axis, values in kept if axis not in gone), np.zeros_like(labels))
        shape = (1 if len(gone) == 2 else classes, predicates)
        found = np.bincount(rows * predicates + labels, counted.data, minlength=math.prod(shape)).reshape(shape)
        found[:, 0] = (self.pairs.sum(gone[0]) if len(gone) == 1 else self.pairs.sum()) + classes ** len(gone)
        return (found[0] if len(gone) == 2 else found).astype(self.relations.dtype)


def _summed(values: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> csr_array:
    """A matrix in which values of the same place are added up, in their order, as `np.bincount` does."""
    keys, places = np.unique(rows * shape[1] + columns, return_inverse=True)
    sums = np.bincount(places.ravel(), values, minlength=len(keys)).astype(values.dtype)
    return coo_array((sums, np.divmod(keys, shape[1])), shape=shape).tocsr()


class LateTable(Tensor):
    """A table [O, O, R] that looks like a tensor and becomes one in the first operation that needs all of it.

    Sums over the classes, and whether anything was counted, are found without. Before memory is taken for the whole
    table, the log says how much, and where there is not so much an `InputError` does.
    """

    counts: SparseCounts

    @staticmethod
    def __new__(cls, counts: SparseCounts, dtype: torch.dtype):
        table = Tensor._make_wrapper_subclass(cls, counts.shape, dtype=dtype)
        table.counts = counts
        return table

    def _row(self, subject: int) -> np.ndarray:
        return self.counts.row(subject)

    def dense(self) -> Tensor:
        """The table itself.

        Raises:
            InputError: it is larger than the memory that is free.
        """
        size = self.numel() * self.element_size()
        what = f"the table of {' x '.join(f'{side:,}' for side in self.shape)} classes, classes and predicates"
        if size > (free := free_memory()):
            raise InputError(
                f"{what}, from which a frequency bias is made, would need {_readable(size)} of memory, and "
                f"{_readable(free)} are free; MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS False leaves the bias out"
            )
        logging.getLogger("maskrcnn_benchmark").info("%s takes %s of memory", what, _readable(size))
        found = torch.empty(self.shape, dtype=self.dtype)
        for subject in range(self.shape[0]):
            found[subject] = torch.from_numpy(self._row(subject))
        return found

    def numpy(self, **options) -> np.ndarray:
        return self.dense().numpy(**options)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.dense().numpy(), dtype=dtype)

    def __repr__(self, **options) -> str:
        return f"{type(self).__name__}(shape={tuple(self.shape)}, dtype={self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        short = cls._short_way(function, args, kwargs or {})
        if short is not None:
            return short
        args, kwargs = torch.utils._pytree.tree_map_only(LateTable, LateTable.dense, (args, kwargs or {}))
        return function(*args, **kwargs)

    @classmethod
    def _short_way(cls, function, args, kwargs) -> Tensor | None:
        """What needs no dense table; None: nothing."""
        return None


class CountTable(LateTable):
    """SGB's `fg_matrix`."""

    @classmethod
    def _short_way(cls, function, args, kwargs) -> Tensor | None:
        aten, table = torch.ops.aten, args[0]
        if function is aten.detach.default or function is aten.alias.default:
            return table
        if function is aten._to_copy.default and set(kwargs) == {"dtype"}:
            return cls(table.counts, kwargs["dtype"])
        if function is aten.sum.dim_IntList and not (len(args) > 2 and args[2]) and set(kwargs) <= {"dtype"}:
            gone = tuple(sorted(axis % 3 for axis in args[1]))
            if gone in ((0,), (1,), (0, 1)):
                return torch.from_numpy(table.counts.total(gone)).to(kwargs.get("dtype") or table.dtype)
        if function is aten.gt.Scalar and args[1] == 0:
            return OccurrenceTable(table.counts, torch.bool)
        return None


class OccurrenceTable(LateTable):
    """Whether anything was counted, `fg_matrix > 0`."""

    def _row(self, subject: int) -> np.ndarray:
        return self.counts.row(subject) > 0

    @classmethod
    def _short_way(cls, function, args, kwargs) -> Tensor | None:
        if function is torch.ops.aten.any.dim and args[1] in (0, 1) and len(args) == 2 and not kwargs:
            return torch.from_numpy(args[0].counts.total((args[1],)) > 0)
        return None


class ShareTable(LateTable):
    """SGB's `pred_dist`: log(share of each predicate among those of the two classes + 1e-3)."""

    def _row(self, subject: int) -> np.ndarray:
        return log_shares(self.counts.row(subject))


def log_shares(counts: np.ndarray) -> np.ndarray:
    """log(share of each predicate + 1e-3) of counts [..., R], float64."""
    return np.log(counts / counts.sum(-1, keepdims=True) + 1e-3)


def predicate_pairs(graphs: Graphs, num_predicates: int) -> np.ndarray | None:
    """On how many ordered pairs of boxes annotators gave both of two predicates.

    Returns:
        int64 [R, R], symmetric, with the pairs that have a predicate at all in the diagonal; None as
        `VGDataset.get_statistics` says.
    """
    if graphs.weights is not None or is_large((num_predicates, num_predicates)):
        return None
    names = np.unique(graphs.pairs() * num_predicates + graphs.relations[:, 2])  # of each pair each predicate once
    pair, predicate = np.divmod(names, num_predicates)
    shown = csr_array((np.ones(len(names), dtype=np.int64), (pair, predicate)), shape=(len(names), num_predicates))
    return (shown.T @ shown).toarray()


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether a table of 8-byte numbers is kept sparse."""
    return 8 * math.prod(shape) > DENSE_BYTES


def free_memory() -> int:
    """Bytes of memory that are free or can be freed."""
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            sizes = dict(line.split(":", 1) for line in stream)
        return int(sizes["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _readable(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:,.4g} TiB"
