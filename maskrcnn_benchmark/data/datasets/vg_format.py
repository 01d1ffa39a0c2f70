"""The VG-SGG format: an h5 with boxes and relations, a json with names, a json list of images.

docs/datasets.md describes the arrays. B is the number of boxes in the file, M of relation rows, N of images.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import check_file

from .vg_lists import BACKGROUND, NAME_KINDS, WHERE, dictionary_faults, read_dictionary, read_image_list

BOX_SCALE = 1024  # the longer side of every image in the h5's boxes
SPLIT_CODES = {"train": 0, "val": 1, "test": 2}
ATTRIBUTES_PER_BOX = 10

# Visual Genome lists 108,077 images; these four are damaged and have no place in the h5.
VG_IMAGES = 108077
VG_DAMAGED = frozenset({1592, 1722, 4616, 4617})

BOXES = f"boxes_{BOX_SCALE}"
_SPANS = {"box": ("img_to_first_box", "img_to_last_box"), "rel": ("img_to_first_rel", "img_to_last_rel")}
_COORDINATE = 2 * BOX_SCALE  # boxes may reach out of their image, but not by as much as it is wide


@dataclass(frozen=True)
class _Array:
    """What an array of the h5 must be.

    Attributes:
        rows: what they stand for.
        columns: how many there are: None for a plain list, -1 for any number.
        low, high: the smallest and the largest value.
        real: whether it may hold other than whole numbers.
        required: whether it must be there.
    """

    rows: str
    columns: int | None
    low: float
    high: float
    real: bool = False
    required: bool = True


# labels and predicates are compared with the dictionary where both are at hand
_ARRAYS = {
    BOXES: _Array("box", 4, -_COORDINATE, _COORDINATE, real=True),
    "labels": _Array("box", 1, 0, 2**31),
    **{name: _Array("image", None, -1, 2**53) for names in _SPANS.values() for name in names},
    "relationships": _Array("rel", 2, 0, 2**53),
    "predicates": _Array("rel", 1, 0, 2**31),
    "split": _Array("image", None, 0, max(SPLIT_CODES.values())),
    "attributes": _Array("box", -1, 0, 100_000, required=False),
    "predicate_weights": _Array("rel", None, 0, 1e30, real=True, required=False),
}


@dataclass(frozen=True)
class Graphs:
    """Boxes and relations of some images, one image after the other.

    Attributes:
        mask: which images of the h5 these are, bool [N].
        num_boxes, num_relations: of each image, int64 [n].
        boxes: corners (x1, y1, x2, y2) at BOX_SCALE, [sum of num_boxes, 4].
        labels: object classes, int64.
        attributes: int64 [.., 10], filled up with 0.
        relations: (subject, object, predicate), int64 [sum of num_relations, 3]; subject and object count the boxes
            of their image from 0.
        weights: how likely each relation is drawn among those of its pair, float; None where the h5 has none.
    """

    mask: np.ndarray
    num_boxes: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    attributes: np.ndarray
    num_relations: np.ndarray
    relations: np.ndarray
    weights: np.ndarray | None

    def triplets(self) -> np.ndarray:
        """(subject class, object class, predicate) of every relation, int64 [.., 3]."""
        subjects, objects = self.labels[self._ends()]
        return np.column_stack((subjects, objects, self.relations[:, 2]))

    def pairs(self) -> np.ndarray:
        """Number of the ordered pair of boxes of every relation, int64 [..]: the same for the same two boxes."""
        subjects, objects = self._ends()
        return np.unique(subjects * len(self.labels) + objects, return_inverse=True)[1].ravel()

    def _ends(self) -> np.ndarray:
        """Rows of the boxes of subject and object of every relation, int64 [2, ..]."""
        first_box = np.repeat(np.cumsum(self.num_boxes) - self.num_boxes, self.num_relations)
        return self.relations[:, :2].T + first_box


class RowsByImage(Sequence):
    """The rows of each image, as views of one array, made when they are asked for.

    A list of a hundred thousand arrays takes longer to make than to read, and the workers of a data loader copy it page
    by page as they count references; one array they share. The rows of an image can be replaced, as in a list.

    Args:
        rows: image by image.
        counts: how many rows each image has, int [n].
    """

    def __init__(self, rows: np.ndarray, counts: np.ndarray):
        self.rows = rows
        self.ends = np.cumsum(counts)
        self.starts = self.ends - counts
        self.replaced: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return self.replaced[place] if place in self.replaced else self.rows[self.starts[place] : self.ends[place]]

    def __setitem__(self, index: int, rows: np.ndarray) -> None:
        self.replaced[range(len(self))[index]] = rows


def read_h5(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """All arrays of the format that an h5 holds, by name.

    Raises:
        InputError: the file is missing, cut short, no h5, or lacks an array.
    """
    check_file(path, "data file", WHERE)
    try:
        with h5py.File(path, "r") as h5:
            missing = [name for name, what in _ARRAYS.items() if what.required and name not in h5]
            if missing:
                raise InputError(f"data file {path} has no {', '.join(missing)}; {WHERE}")
            arrays = {name: _read_array(h5, name, os.path.getsize(path)) for name in _ARRAYS if name in h5}
    except InputError as error:
        raise error if str(path) in str(error) else InputError(f"data file {path}: {error}") from error
    except Exception as error:  # h5py raises many kinds on damaged files
        raise InputError(f"data file {path} is cut short or no h5 file: {' '.join(str(error).split())}") from error
    if "predicate_weights" in arrays:
        arrays["predicate_weights"] = arrays["predicate_weights"].reshape(-1)
    return arrays


def _read_array(h5: h5py.File, name: str, size: int) -> np.ndarray:
    """An array of numbers that lies in the file itself."""
    link = h5.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{name} is a link to another place, expected an array")
    found = h5[name]
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual or not found.shape:
        raise InputError(f"{name} is no array with rows in this file")
    if found.dtype.kind not in "iuf":
        raise InputError(f"{name} holds {found.dtype}, expected numbers")
    if found.size * found.dtype.itemsize > 10_000_000 + 1000 * size:
        raise InputError(f"{name} has the shape {list(found.shape)}, for which the file is too small")
    return found[:]


def find_faults(arrays: dict[str, np.ndarray]) -> list[str]:
    """What keeps the arrays of an h5 from being read as boxes and relations of images, a sentence each."""
    return _shape_faults(arrays) or _row_faults(arrays)


def _shape_faults(arrays: dict[str, np.ndarray]) -> list[str]:
    rows = {"box": len(arrays[BOXES]), "rel": len(arrays["relationships"]), "image": len(arrays["split"])}
    faults = []
    for name, array in arrays.items():
        what = _ARRAYS[name]
        expected = [rows[what.rows]]
        if what.columns is not None:
            expected.append(array.shape[-1] if what.columns == -1 else what.columns)
        if list(array.shape) != expected:
            faults.append(f"{name} has the shape {list(array.shape)}, expected {expected}")
        elif not what.real and array.dtype.kind not in "iu":
            faults.append(f"{name} holds {array.dtype}, expected whole numbers")
        elif (wrong := np.flatnonzero(~((array >= what.low) & (array <= what.high)))).size:
            faults.append(
                f"{name} has {len(wrong)} values out of {what.low:g} to {what.high:g}, the first is "
                f"{array.reshape(-1)[wrong[0]]}"
            )
    return faults


def _row_faults(arrays: dict[str, np.ndarray]) -> list[str]:
    faults = []

    def check(wrong: np.ndarray, what: str) -> None:
        if wrong.any():
            faults.append(f"{what} ({np.count_nonzero(wrong)}, the first is number {np.flatnonzero(wrong)[0]})")

    boxes = arrays[BOXES]
    check((boxes[:, :2] < 0).any(1) | (boxes[:, 2:] <= 0).any(1), "boxes of no extent or outside the image")
    spans_fit = True
    for what, (first_name, last_name) in _SPANS.items():
        first, last = (arrays[name].astype(np.int64) for name in (first_name, last_name))
        rows = len(boxes) if what == "box" else len(arrays["relationships"])
        wrong = np.where(first >= 0, (last < first) | (last >= rows), last >= 0)
        check(wrong, f"images whose {first_name} and {last_name} are no rows of the file")
        spans_fit &= not wrong.any()
    if spans_fit:
        check(_foreign_relations(arrays), "images with relations that point to boxes of another image")
    if "predicate_weights" in arrays:
        weights = arrays["predicate_weights"]
        if len(weights) and not weights.any():
            faults.append("predicate_weights are all 0, so no relation would ever be drawn")
    return faults


def _foreign_relations(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Which images have relations between boxes that are not theirs, bool [N]."""
    relation_rows, num_relations = rows_of(arrays, "rel", np.arange(len(arrays["split"])))
    image = np.repeat(np.arange(len(num_relations)), num_relations)
    ends = arrays["relationships"][relation_rows].astype(np.int64)
    first, last = (arrays[name].astype(np.int64)[image, None] for name in _SPANS["box"])
    foreign = ((first < 0) | (ends < first) | (ends > last)).any(1)
    return np.bincount(image[foreign], minlength=len(num_relations)) > 0


def rows_of(arrays: dict[str, np.ndarray], what: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the boxes ("box") or relations ("rel") of images, one image after the other, and how many each has."""
    first, last = (arrays[name][images].astype(np.int64) for name in _SPANS[what])
    counts = np.where(first >= 0, last - first + 1, 0)
    return ranges(first, counts), counts


def ranges(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """first[0], first[0] + 1, ... (counts[0] numbers), then the same from first[1] on, and so on."""
    shift = first - (np.cumsum(counts) - counts)
    return np.arange(counts.sum()) + np.repeat(shift, counts)


def corners(boxes: np.ndarray) -> np.ndarray:
    """(centre x, centre y, width, height) to (x1, y1, x2, y2); whole numbers stay whole, cut towards 0, as in SGB."""
    boxes = boxes.astype(np.int64) if boxes.dtype.kind == "u" else boxes.copy()
    boxes[:, :2] = boxes[:, :2] - boxes[:, 2:] / 2
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def choose_images(
    arrays: dict[str, np.ndarray], split: str, num_im: int = -1, num_val_im: int = 5000, filter_empty_rels: bool = True
) -> np.ndarray:
    """Indices of the images of a split; for the arguments see `VGDataset`."""
    codes = arrays["split"]
    marked = bool((codes == SPLIT_CODES["val"]).any())
    code = SPLIT_CODES[split] if marked or split == "test" else SPLIT_CODES["train"]
    chosen = (codes == code) & (arrays["img_to_first_box"] >= 0)
    if filter_empty_rels:
        chosen &= arrays["img_to_first_rel"] >= 0
    index = np.flatnonzero(chosen)
    if num_im > -1:
        index = index[:num_im]
    if num_val_im > 0 and not marked:
        if split == "val":
            index = index[:num_val_im]
        elif split == "train":
            index = index[num_val_im:]
    return index


def overlap_areas(boxes1: np.ndarray, boxes2: np.ndarray, to_move: int = 1) -> np.ndarray:
    """Intersection areas of xyxy boxes [..., 4], elementwise; `to_move` is 1 for inclusive corners."""
    low = np.maximum(boxes1[..., :2], boxes2[..., :2])
    high = np.minimum(boxes1[..., 2:], boxes2[..., 2:])
    return np.clip(high - low + to_move, 0, None).prod(-1)


def read_graphs(
    roidb_file: str | os.PathLike,
    split: str,
    num_im: int = -1,
    num_val_im: int = 5000,
    filter_empty_rels: bool = True,
    filter_non_overlap: bool = False,
) -> Graphs:
    """Boxes and relations of a split; for the arguments see `VGDataset`.

    Raises:
        InputError: a file that is missing or damaged, or arrays that do not fit each other.
    """
    arrays = read_h5(roidb_file)
    faults = find_faults(arrays)
    if faults:
        raise InputError(f"data file {roidb_file} is damaged: {faults[0]}; tools/validate_dataset.py says more")
    boxes = corners(arrays[BOXES])
    images = choose_images(arrays, split, num_im, num_val_im, filter_empty_rels)
    relation_rows, num_relations = rows_of(arrays, "rel", images)
    if filter_non_overlap:
        # relations of boxes apart go, and the images that have no others
        ends = arrays["relationships"][relation_rows]
        overlap = overlap_areas(boxes[ends[:, 0]], boxes[ends[:, 1]]) > 0
        image = np.repeat(np.arange(len(images)), num_relations)
        left = np.bincount(image[overlap], minlength=len(images))
        relation_rows, images, num_relations = relation_rows[overlap], images[left > 0], left[left > 0]
    box_rows, num_boxes = rows_of(arrays, "box", images)

    mask = np.zeros(len(arrays["split"]), dtype=bool)
    mask[images] = True
    if "attributes" in arrays:
        attributes = arrays["attributes"][box_rows].astype(np.int64)
    else:
        attributes = np.zeros((len(box_rows), ATTRIBUTES_PER_BOX), dtype=np.int64)
    first_box = np.repeat(arrays["img_to_first_box"][images].astype(np.int64), num_relations)
    relations = np.column_stack(
        (arrays["relationships"][relation_rows] - first_box[:, None], arrays["predicates"][relation_rows])
    )
    weights = arrays.get("predicate_weights")
    return Graphs(
        mask=mask,
        num_boxes=num_boxes,
        boxes=boxes[box_rows],
        labels=arrays["labels"][box_rows, 0].astype(np.int64),
        attributes=attributes,
        num_relations=num_relations,
        relations=relations.astype(np.int64),
        weights=None if weights is None else weights[relation_rows],
    )


def load_info(dict_file: str, add_bg: bool = True) -> tuple[list[str], list[str], list[str]]:
    """Names of object classes, predicates and attributes in the order of their indices, background first.

    Raises:
        InputError: the file is missing, damaged, or does not number its names from 1 on.
    """
    info = read_dictionary(dict_file)
    faults = dictionary_faults(dict_file, info, whole=False)
    if faults:
        raise InputError(faults[0])
    names = []
    for kind in NAME_KINDS:
        to_idx = dict(info.get(f"{kind}_to_idx", {}))
        if add_bg:
            to_idx[BACKGROUND] = 0
        names.append(sorted(to_idx, key=to_idx.__getitem__))
    return names[0], names[1], names[2]


def load_image_filenames(img_dir: str, image_file: str) -> tuple[list[str], list[dict]]:
    """Paths and descriptions of all images that the h5 has a row for; errors as in `read_image_list`."""
    data = read_image_list(image_file)
    if len(data) == VG_IMAGES:
        data = [info for info in data if info["image_id"] not in VG_DAMAGED]
    folder = os.path.join(img_dir, "")
    return [f"{folder}{info['image_id']}.jpg" for info in data], data
