"""Relation labels of the training images of an h5 in the VG-SGG format: read, replaced, and written.

B boxes and N images in the file, M labels. A pair is an ordered pair of boxes; its labels are its candidates.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from maskrcnn_benchmark.data.datasets.vg_format import (
    BOXES,
    SPLIT_CODES,
    choose_images,
    find_faults,
    ranges,
    read_h5,
    rows_of,
)
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write

_SPANS = ("img_to_first_rel", "img_to_last_rel")
_REPLACED = ("relationships", "predicates", "predicate_weights", *_SPANS)


@dataclass(frozen=True)
class Labels:
    """Labels in the order of images, and within an image of pairs; those of a pair stand together.

    Attributes:
        image: of each label, int64 [M].
        pairs: subject and object as rows of boxes in the file, int64 [M, 2].
        predicates: from 1, int64 [M].
        weights: how likely each is drawn among the labels of its pair; not negative, float64 [M].
    """

    image: np.ndarray
    pairs: np.ndarray
    predicates: np.ndarray
    weights: np.ndarray

    @classmethod
    def ordered(cls, image: np.ndarray, pairs: np.ndarray, predicates: np.ndarray, weights: np.ndarray) -> Labels:
        """Labels in any order; those of a pair keep theirs."""
        order = np.lexsort((pairs[:, 1], pairs[:, 0], image))
        return cls(image[order], pairs[order], predicates[order], weights[order])

    def __len__(self) -> int:
        return len(self.predicates)

    def first_of_pair(self) -> np.ndarray:
        """The row at which each pair begins, int64 [pairs]."""
        new = np.ones(len(self), dtype=bool)
        new[1:] = (self.pairs[1:] != self.pairs[:-1]).any(1)
        return np.flatnonzero(new)

    def pair_index(self) -> np.ndarray:
        """The number of each label's pair, from 0, int64 [M]."""
        first = self.first_of_pair()
        return np.repeat(np.arange(len(first)), np.diff(np.append(first, len(self))))

    def repeated(self, number: int) -> Labels:
        """Labels that say by repetition what their weights say: `number` rows for every pair, all of weight 1.

        Of a pair's rows each candidate gets the share that its weight has, rounded so that they are `number` together
        (the largest remainders are rounded up, of equal ones the first). Pairs whose weights are all 0 are left out.
        """
        pair = self.pair_index()
        sums = np.bincount(pair, self.weights)[pair] if len(self) else self.weights
        shares = number * np.divide(self.weights, sums, out=np.zeros(len(self)), where=sums > 0)
        whole = np.floor(shares + 1e-9)  # a share of one third of three rows is one row
        lacking = np.rint(np.bincount(pair, shares - whole)) if len(self) else whole
        order = np.lexsort((whole - shares, pair))
        rank = np.arange(len(self)) - np.searchsorted(pair, pair[order])
        whole[order[rank < lacking[pair[order]]]] += 1
        rows = np.repeat(np.arange(len(self)), whole.astype(np.int64))
        return self.take(rows, np.ones(len(rows)))

    def take(self, rows: np.ndarray | slice, weights: np.ndarray) -> Labels:
        """Some of the labels (a mask, or indices in order), with new weights for these."""
        return Labels(self.image[rows], self.pairs[rows], self.predicates[rows], weights)


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays of an h5, checked.

    Raises:
        InputError: see `read_h5`; arrays that do not fit each other.
    """
    arrays = read_h5(path)
    if faults := find_faults(arrays):
        raise InputError(f"data file {path} is damaged: {faults[0]}; tools/validate_dataset.py says more")
    return arrays


def training_images(arrays: dict[str, np.ndarray], num_val_im: int) -> np.ndarray:
    """Images with boxes whose labels may be replaced, int64 [n]: no validation or test image changes.

    Where no split code marks validation images, SGB takes the first `num_val_im` training images that have relations.
    All images up to the last of these are left alone, so that labels do not change which images they are.

    Raises:
        InputError: none left.
    """
    images = choose_images(arrays, "train", num_val_im=0, filter_empty_rels=False)
    if not (arrays["split"] == SPLIT_CODES["val"]).any() and num_val_im > 0:
        validation = choose_images(arrays, "val", num_val_im=num_val_im)
        images = images[images > validation.max(initial=-1)]
    if not len(images):
        raise InputError(
            f"no training image is left to label: {np.count_nonzero(arrays['split'] == 0)} images have split code 0, "
            f"and where none has code 1 the first {num_val_im} serve for validation (--num-val-im)"
        )
    return images


def read_labels(arrays: dict[str, np.ndarray], images: np.ndarray) -> Labels:
    """The labels of these images; weights are 1 where the h5 has none."""
    rows, counts = rows_of(arrays, "rel", images)
    weights = arrays.get("predicate_weights")
    return Labels.ordered(
        np.repeat(images, counts),
        arrays["relationships"][rows].astype(np.int64),
        arrays["predicates"][rows, 0].astype(np.int64),
        np.ones(len(rows)) if weights is None else weights[rows].astype(np.float64),
    )


def read_human_labels(path: str | os.PathLike, arrays: dict[str, np.ndarray], images: np.ndarray) -> Labels:
    """The labels of these images in another h5.

    Args:
        arrays: of the h5 with noisy labels.

    Raises:
        InputError: the files do not hold the same boxes.
    """
    human = read_arrays(path)
    for name in (BOXES, "labels", "img_to_first_box", "img_to_last_box"):
        if not np.array_equal(human[name], arrays[name]):
            raise InputError(f"{path} differs in {name} from the data set whose labels are to be compared with its own")
    return read_labels(human, images)


def replace_labels(
    arrays: dict[str, np.ndarray], images: np.ndarray, labels: Labels, weighted: bool = True
) -> dict[str, np.ndarray]:
    """The relation arrays of an h5 in which `labels` are all the labels of `images`.

    Rows of other images stay as they are, value by value, in types and order; only their places in the file shift.

    Args:
        weighted: with the labels' weights.

    Returns:
        the arrays `relationships`, `predicates`, `predicate_weights` (where `weighted`), `img_to_first_rel` and
        `img_to_last_rel`.
    """
    number = len(arrays["split"])
    old_rows, counts = rows_of(arrays, "rel", np.arange(number))
    first_old = np.cumsum(counts) - counts  # places in old_rows
    first_new = np.searchsorted(labels.image, np.arange(number))
    replaced = np.zeros(number, dtype=bool)
    replaced[images] = True
    counts[replaced] = np.bincount(labels.image, minlength=number)[replaced]
    # rows of the new arrays, image by image, out of the old rows followed by the labels
    source = ranges(np.where(replaced, len(old_rows) + first_new, first_old), counts)

    def merged(name: str, values: np.ndarray) -> np.ndarray:
        old = arrays[name] if name in arrays else np.ones(len(arrays["predicates"]), dtype=np.float32)
        return np.concatenate([old[old_rows], values.astype(old.dtype)])[source]

    end = np.cumsum(counts)
    spans = (np.where(counts, end - counts, -1), np.where(counts, end - 1, -1))
    return {
        "relationships": merged("relationships", labels.pairs),
        "predicates": merged("predicates", labels.predicates[:, None]),
        **({"predicate_weights": merged("predicate_weights", labels.weights)} if weighted else {}),
        **{name: span.astype(arrays[name].dtype) for name, span in zip(_SPANS, spans, strict=True)},
    }


def write_labels(
    source: str | os.PathLike,
    target: str | os.PathLike,
    images: np.ndarray,
    labels: Labels,
    link: bool = False,
    weighted: bool = True,
) -> None:
    """Write a copy of an h5 in which `labels` are all the labels of `images`; everything else is copied as it is.

    Args:
        link: put links to the other files of the source's folder beside the target, where it has no such file, so that
            the folder above serves as DATASETS.DATA_DIR.
        weighted: with the labels' weights; False: the loader draws the labels of a pair evenly.

    Raises:
        InputError: no label; source and target are the same file.
    """
    if not len(labels):
        raise InputError(f"no label is left for {target}: nothing was written")
    if os.path.exists(target) and os.path.samefile(source, target):
        raise InputError(f"--output {target} is the input itself; give it another name or folder")
    arrays = read_arrays(source)
    replaced = replace_labels(arrays, images, labels, weighted)
    if link:  # before the h5, which says by being there that all is done
        link_siblings(source, target)
    with atomic_write(target) as temporary, h5py.File(source, "r") as old, h5py.File(temporary, "w") as new:
        new.attrs.update(old.attrs)
        for name in old:
            if name not in _REPLACED:
                old.copy(name, new)
        for name, values in replaced.items():
            new[name] = values
            if name in old:
                new[name].attrs.update(old[name].attrs)


def link_siblings(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Put links to all that stands beside `source` beside `target`; what is there already stays."""
    source, folder = Path(source).absolute(), Path(target).absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    if source.parent.resolve() == folder.resolve():
        return
    for sibling in source.parent.iterdir():
        place = folder / sibling.name
        if sibling.name != source.name and not sibling.name.startswith(".") and not os.path.lexists(place):
            place.symlink_to(sibling)
