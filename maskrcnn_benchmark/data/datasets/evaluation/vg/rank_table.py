"""The ranks of the relations of many images, in a temporary file: memory does not grow with the relations."""

from __future__ import annotations

import os
import zipfile
from array import array
from collections.abc import Callable, Iterator, Mapping
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from maskrcnn_benchmark.utils.files import atomic_write

from ..stored_arrays import StoredArrays
from .ranks import RANKS

PART = 512  # images that are looked at together
Columns = Mapping[str, np.ndarray]
Derived = Callable[[Columns], np.ndarray]  # a column that follows from others


class Part(NamedTuple):
    """A table's columns for some images that follow each other.

    Attributes:
        first: the number of the first image.
        images: how many images there are, with those that have no entry.
        columns: `image` int64 [T] in rising order, counted from `first` on, `gt_triplets` int32 [T, 3], and every rank
            int32 [T].
    """

    first: int
    images: int
    columns: Columns


class RankTable:
    """A few small numbers for each annotated relation, on disk; of an image, 16 bytes stay in memory."""

    def __init__(self) -> None:
        self._rows = StoredArrays(np.int32, 3 + len(RANKS))
        self._images = array("q")  # the image of each entry

    def __len__(self) -> int:
        return len(self._images)

    def add(self, image: int, ranks: Columns) -> None:
        """Add an image; `ranks` is what `image_ranks.rank_graph` gives."""
        self._rows.append(np.column_stack((ranks["gt_triplets"], *(ranks[name] for name in RANKS))))
        self._images.append(image)

    def parts(self, images: int | None = None) -> Iterator[Part]:
        """The table in parts of `PART` images each, at least one.

        Args:
            images: of the whole test set; None: up to the last that has an entry.
        """
        numbers, places = self._order()
        total = images if images is not None else int(numbers.max(initial=-1)) + 1
        for first in range(0, max(total, 1), PART):
            number = min(PART, total - first)
            rows = slice(*np.searchsorted(numbers, (first, first + number)))
            yield Part(first, number, self._columns(numbers[rows] - first, places[rows]))

    def columns(self) -> dict[str, np.ndarray]:
        """All of it at once, in memory."""
        return self._columns(*self._order())

    def save(self, path: str | os.PathLike, scalars: Mapping[str, int], further: Mapping[str, Derived]) -> None:
        """Write the columns as npz, a part at a time.

        Args:
            scalars: whole numbers that the file holds beside them.
            further: columns that follow from those of a part, by name.
        """
        columns = {name: itemgetter(name) for name in ("image", "gt_triplets", *RANKS)} | dict(further)
        nothing = self._columns(*np.zeros((2, 0), dtype=np.int64))
        rows = int(self._rows.lengths(np.arange(len(self))).sum())
        with (
            atomic_write(path) as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as npz,
        ):
            for name, value in scalars.items():
                with npz.open(f"{name}.npy", "w") as out:
                    np.lib.format.write_array(out, np.asarray(value))
            for name, of in columns.items():
                like = np.asarray(of(nothing))
                header = {
                    "descr": np.lib.format.dtype_to_descr(like.dtype), "fortran_order": False,
                    "shape": (rows, *like.shape[1:]),
                }  # fmt: skip
                with npz.open(f"{name}.npy", "w", force_zip64=True) as out:
                    np.lib.format.write_array_header_1_0(out, header)
                    for part in self.parts():
                        values = of(part.columns) + part.first if name == "image" else of(part.columns)
                        out.write(np.ascontiguousarray(values, dtype=like.dtype).tobytes())

    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """The images that have an entry, rising, and the places of their entries."""
        numbers = np.array(self._images, dtype=np.int64)
        places = np.argsort(numbers, kind="stable")
        return numbers[places], places

    def _columns(self, numbers: np.ndarray, places: np.ndarray) -> dict[str, np.ndarray]:
        rows = self._rows.joined(places)
        return {
            "image": np.repeat(numbers, self._rows.lengths(places)),
            "gt_triplets": rows[:, :3],
            **dict(zip(RANKS, rows[:, 3:].T, strict=True)),
        }


def parts_of(columns: Columns, images: int) -> Iterator[Part]:
    """`RankTable.parts` of the columns that `RankTable.save` wrote."""
    for first in range(0, max(images, 1), PART):
        number = min(PART, images - first)
        rows = slice(*np.searchsorted(columns["image"], (first, first + number)))
        part = {name: values[rows] for name, values in columns.items() if values.ndim}
        yield Part(first, number, part | {"image": part["image"] - first})
