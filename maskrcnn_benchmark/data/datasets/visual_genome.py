"""Visual Genome with the VG-150 labels, and every data set in the same format (VG-SGG)."""

from __future__ import annotations

import json
import os
import random

import numpy as np
import torch
from PIL import Image, ImageOps
from tqdm import tqdm

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write, is_within
from maskrcnn_benchmark.utils.json_files import read_json

from .box_pairs import bbox_overlaps, box_filter, image_pairs  # noqa: F401  (the first two are SGB's names here)
from .content_cache import counted_once
from .images import image_size, load_image
from .sparse_statistics import CountTable, ShareTable, SparseCounts, is_large, log_shares, predicate_pairs
from .vg_format import (
    BOX_SCALE,
    SPLIT_CODES,
    VG_DAMAGED,
    VG_IMAGES,
    Graphs,
    RowsByImage,
    load_image_filenames,
    load_info,
    read_graphs,
)
from .vg_lists import WHERE, read_image_list


class VGDataset(torch.utils.data.Dataset):
    """Images with boxes, labels, attributes and relations of one split.

    A sample is (image, target, index). The target is a BoxList with the fields `labels` int64 [n], `attributes` int64
    [n, 10] and `relation` int64 [n, n] (predicate of each ordered pair, 0 for none); `get_groundtruth` with
    `evaluation=True` adds `relation_tuple` int64 [m, 3] of (subject, object, predicate).

    Args:
        split: `train`, `val` or `test`.
        img_dir: folder of the images, `<image_id>.jpg`.
        roidb_file: the h5 with boxes and relations.
        dict_file: json with the names of classes, predicates and attributes.
        image_file: json list with `image_id`, `width` and `height` of every image.
        transforms: called with (image, target).
        filter_empty_rels: leave out images without relations.
        num_im: take only so many images of the split, -1 for all.
        num_val_im: how many training images serve for validation where the h5 marks none (split code 1).
        filter_duplicate_rels: in training, draw one of a pair's predicates, by `predicate_weights` where the h5
            has them, else evenly.
        filter_non_overlap: in training, leave out relations of boxes that do not overlap.
        flip_aug: in training, mirror every other image.
        custom_eval, custom_path: only the images of this folder, or of this json list of paths, without annotations.

    Raises:
        InputError: a file that is missing, damaged, or does not fit the others.
    """

    def __init__(
        self,
        split: str,
        img_dir: str,
        roidb_file: str,
        dict_file: str,
        image_file: str,
        transforms=None,
        filter_empty_rels: bool = True,
        num_im: int = -1,
        num_val_im: int = 5000,
        filter_duplicate_rels: bool = True,
        filter_non_overlap: bool = True,
        flip_aug: bool = False,
        custom_eval: bool = False,
        custom_path: str = "",
    ):
        if split not in SPLIT_CODES:
            raise InputError(f"split must be train, val or test, found {split}")
        self.split = split
        self.img_dir = img_dir
        self.roidb_file = roidb_file
        self.dict_file = dict_file
        self.image_file = image_file
        self.transforms = transforms
        self.num_val_im = num_val_im
        self.flip_aug = flip_aug
        self.filter_non_overlap = filter_non_overlap and split == "train"
        self.filter_duplicate_rels = filter_duplicate_rels and split == "train"
        self.custom_eval = custom_eval

        self.ind_to_classes, self.ind_to_predicates, self.ind_to_attributes = load_info(dict_file)
        self.categories = dict(enumerate(self.ind_to_classes))
        if custom_eval:
            self.get_custom_imgs(custom_path)
            return
        graphs = read_graphs(roidb_file, split, num_im, num_val_im, filter_empty_rels, self.filter_non_overlap)
        _check_labels(roidb_file, dict_file, graphs.labels, len(self.ind_to_classes), "object class")
        _check_labels(roidb_file, dict_file, graphs.relations[:, 2], len(self.ind_to_predicates), "predicate")
        self.split_mask = graphs.mask
        self.gt_boxes = RowsByImage(graphs.boxes, graphs.num_boxes)
        self.gt_classes = RowsByImage(graphs.labels, graphs.num_boxes)
        self.gt_attributes = RowsByImage(graphs.attributes, graphs.num_boxes)
        self.relationships = RowsByImage(graphs.relations, graphs.num_relations)
        self.weights = None if graphs.weights is None else RowsByImage(graphs.weights, graphs.num_relations)
        if not self.gt_boxes:
            raise InputError(
                f"the {split} split of {roidb_file} has no image left (DATASETS.NUM_VAL_IM is {num_val_im}; "
                f"images without boxes{' or relations' if filter_empty_rels else ''} do not count)"
            )
        filenames, img_info = load_image_filenames(img_dir, image_file)
        if len(filenames) != len(self.split_mask):
            raise InputError(
                f"{image_file} lists {len(filenames)} images, but {roidb_file} has {len(self.split_mask)}; "
                "they must come from the same data set"
            )
        chosen = np.flatnonzero(self.split_mask)
        self.filenames = [filenames[i] for i in chosen]
        self.img_info = [img_info[i] for i in chosen]
        _check_images(img_dir, self.filenames)

    def __getitem__(self, index: int):
        if self.custom_eval:
            image, target = load_image(self.custom_files[index]), torch.LongTensor([-1])
        else:
            image = load_image(self.filenames[index])
            info = self.img_info[index]
            if image.size != (info["width"], info["height"]):
                raise InputError(
                    f"image {self.filenames[index]} is {image.size[0]} x {image.size[1]} pixels, but {self.image_file} "
                    f"says {info['width']} x {info['height']}; tools/validate_dataset.py --correct-sizes mends the list"
                )
            flip = self.flip_aug and self.split == "train" and random.random() > 0.5
            target = self.get_groundtruth(index, flip_img=flip)
            if flip:
                image = ImageOps.mirror(image)
        if self.transforms is not None:
            image, target = self.transforms(image, target)
        return image, target, index

    def __len__(self) -> int:
        return len(self.custom_files if self.custom_eval else self.filenames)

    def get_custom_imgs(self, path: str) -> None:
        """Take the images of a folder, or of a json list of paths, in place of the data set's."""
        if os.path.isdir(path):
            files = [os.path.join(path, name) for name in sorted(os.listdir(path))]
            files = [name for name in files if os.path.splitext(name)[1].lower() in Image.registered_extensions()]
        elif os.path.isfile(path):
            files = read_json(path, json_schemas.Files, "TEST.CUSTUM_PATH")
            folders = (os.path.dirname(os.path.abspath(path)), os.curdir)
            if outside := [name for name in files if not is_within(name, folders)]:
                raise InputError(
                    f"TEST.CUSTUM_PATH {path} lists {outside[0]}, which lies neither below the folder of the list nor "
                    "below the working directory; move the list above its images"
                )
        else:
            raise InputError(f"TEST.CUSTUM_PATH {path} is neither a folder nor a json list of images")
        if not files:
            raise InputError(f"TEST.CUSTUM_PATH {path} has no image")
        self.custom_files = files
        self.img_info = []
        for name in files:
            width, height = image_size(name)
            self.img_info.append({"width": width, "height": height})

    def get_img_info(self, index: int) -> dict:
        """`width` and `height` of an image in pixels, among others."""
        return self.img_info[index]

    def get_groundtruth(self, index: int, evaluation: bool = False, flip_img: bool = False) -> BoxList:
        """The target of an image, in pixels of the original image; see the class."""
        info = self.get_img_info(index)
        width, height = info["width"], info["height"]
        boxes = torch.from_numpy(self.gt_boxes[index] / BOX_SCALE * max(width, height)).reshape(-1, 4)
        if flip_img:
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        target = BoxList(boxes, (width, height), "xyxy")
        target.add_field("labels", torch.from_numpy(self.gt_classes[index]))
        target.add_field("attributes", torch.from_numpy(self.gt_attributes[index]))

        relations = self.relationships[index]
        if self.filter_duplicate_rels:
            relations = draw_predicates(relations, None if self.weights is None else self.weights[index])
        relation_map = np.zeros((len(target), len(target)), dtype=np.int64)
        # evaluation draws the same each time and leaves the random state of training alone
        generator = random if self.split == "train" else random.Random(index)
        for subject, obj, predicate in relations.tolist():
            # of several predicates of a pair, each later one replaces the one before with probability one half
            if relation_map[subject, obj] == 0 or generator.random() > 0.5:
                relation_map[subject, obj] = predicate
        target.add_field("relation", torch.from_numpy(relation_map), is_triplet=True)
        if not evaluation:
            return target.clip_to_image(remove_empty=True)
        target = target.clip_to_image(remove_empty=False)
        target.add_field("relation_tuple", torch.as_tensor(relations, dtype=torch.int64))
        return target

    def get_statistics(self, must_overlap: bool = True, cache_dir: str = "") -> dict:
        """Counts of the training split: SGB's `fg_matrix`, `pred_dist` and the names, and `predicate_pairs`.

        Args:
            must_overlap: count relations and pairs of overlapping boxes only, as SGB does.
            cache_dir: see `get_VG_statistics`.

        Returns:
            fg_matrix: int64 [O, O, R], how often a subject class and an object class stand in a relation; channel 0
                counts pairs of boxes, from one on. With `predicate_weights` float64, see
                `get_VG_statistics`.
            pred_dist: float [O, O, R], log(share of each predicate among the pair's + 1e-3).
            predicate_pairs: int64 [R, R], on how many ordered pairs of boxes annotators gave both predicates; None with
                `predicate_weights`, as labels with weights come from no annotator, and with so many predicates that it
                would be larger than `DENSE_BYTES`.
            obj_classes, rel_classes, att_classes: names, background first.

        With so many classes that they are larger than `DENSE_BYTES`, the first two are a `LateTable`.
        """
        shape = len(self.ind_to_classes), len(self.ind_to_classes), len(self.ind_to_predicates)
        files = self.img_dir, self.roidb_file, self.dict_file, self.image_file
        if is_large(shape):
            graphs, _ = _counted_graphs(*files[1:3], self.num_val_im, must_overlap)
            together = predicate_pairs(graphs, shape[2])
            pairs = image_pairs(graphs.boxes, graphs.num_boxes, must_overlap)
            shares = _drawn_shares(graphs)
            counts = SparseCounts(graphs.triplets(), shares, (graphs.labels[chunk] for chunk in pairs), shape)
            fg_matrix = CountTable(counts, torch.int64 if shares is None else torch.float64)
            pred_dist = ShareTable(counts, torch.float32)
        else:
            kept = _count(*files[1:3], must_overlap, self.num_val_im, must_overlap, cache_dir)
            found, background, together = kept["counts"], kept["pairs"], kept.get("predicate_pairs")
            found[:, :, 0] = background + 1
            fg_matrix, pred_dist = torch.from_numpy(found), torch.from_numpy(log_shares(found)).float()
        return {
            "fg_matrix": fg_matrix,
            "pred_dist": pred_dist,
            "predicate_pairs": None if together is None else torch.from_numpy(together),
            "obj_classes": self.ind_to_classes,
            "rel_classes": self.ind_to_predicates,
            "att_classes": self.ind_to_attributes,
        }


def draw_predicates(relations: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """One of the predicates of each pair, at random.

    Args:
        relations: (subject, object, predicate) int [m, 3].
        weights: how likely each row is within its pair, float [m], not negative; None: all alike. A pair whose
            weights are all zero is left out.

    Returns:
        int [k, 3], one row per pair, in the order in which the pairs first appear.
    """
    if len(relations) == 0:
        return relations
    _, first, pair = np.unique(relations[:, 0] * (relations[:, :2].max() + 1) + relations[:, 1], True, True)
    weight = np.ones(len(relations)) if weights is None else np.asarray(weights, dtype=np.float64)
    # the row with the largest log(uniform) / weight is row i with probability weight[i] / sum (Efraimidis and Spirakis)
    with np.errstate(divide="ignore"):
        key = np.where(weight > 0, np.log(np.random.random_sample(len(relations))) / weight, -np.inf)
    order = np.lexsort((key, pair))
    last = np.append(np.flatnonzero(np.diff(pair[order])), len(order) - 1)
    rows = order[last][np.argsort(first)]
    return relations[rows[key[rows] > -np.inf]]


def get_VG_statistics(
    img_dir: str,
    roidb_file: str,
    dict_file: str,
    image_file: str,
    must_overlap: bool = True,
    num_val_im: int = 5000,
    filter_non_overlap: bool = True,
    cache_dir: str = "",
) -> tuple[np.ndarray, np.ndarray]:
    """Count relations and pairs of boxes in the training split.

    Args:
        must_overlap: as background, count pairs of overlapping boxes only (all pairs of an image without any).
        num_val_im: training images taken off for validation, where the h5 marks none.
        filter_non_overlap: leave out relations of boxes that do not overlap.
        cache_dir: where the counts of a file are kept, see `content_cache.counted_once`.

    Returns:
        int64 [O, O, R] counts of (subject class, object class, predicate), and int64 [O, O] counts of pairs. Where the
        h5 has `predicate_weights`, the predicates of a pair of boxes count as often as each of them is drawn, together
        once, float64.
    """
    found = _count(roidb_file, dict_file, must_overlap, num_val_im, filter_non_overlap, cache_dir)
    return found["counts"], found["pairs"]


def _count(
    roidb_file: str, dict_file: str, must_overlap: bool, num_val_im: int, filter_non_overlap: bool, cache_dir: str
) -> dict[str, np.ndarray]:
    """What `get_VG_statistics` returns, `counts` and `pairs`, and `predicate_pairs` where there are any."""

    def count() -> dict[str, np.ndarray]:
        graphs, shape = _counted_graphs(roidb_file, dict_file, num_val_im, filter_non_overlap)
        triplets = np.ravel_multi_index(graphs.triplets().T, shape)
        fg = np.bincount(triplets, weights=_drawn_shares(graphs), minlength=np.prod(shape))
        bg = np.zeros(shape[0] * shape[1], dtype=np.int64)
        for pairs in image_pairs(graphs.boxes, graphs.num_boxes, must_overlap):
            labels = graphs.labels[pairs]
            bg += np.bincount(labels[:, 0] * shape[1] + labels[:, 1], minlength=len(bg))
        seen = np.flatnonzero(fg)  # few of all triplets
        arrays = {"shape": np.array(shape), "triplets": seen, "counts": fg[seen], "pairs": bg.reshape(shape[:2])}
        together = predicate_pairs(graphs, shape[2])
        return arrays if together is None else {**arrays, "predicate_pairs": together}

    facts = [must_overlap, num_val_im, filter_non_overlap]
    found = counted_once(cache_dir, "statistics", (roidb_file, dict_file), facts, count)
    fg = np.zeros(found["shape"], dtype=found["counts"].dtype)
    fg.flat[found["triplets"]] = found["counts"]
    return {**found, "counts": fg}


def _counted_graphs(roidb_file: str, dict_file: str, num_val_im: int, filter_non_overlap: bool) -> tuple:
    """Boxes and relations of training, and how many classes, classes and predicates there are."""
    classes, predicates, _ = load_info(dict_file)
    graphs = read_graphs(roidb_file, "train", -1, num_val_im, True, filter_non_overlap)
    _check_labels(roidb_file, dict_file, graphs.labels, len(classes), "object class")
    _check_labels(roidb_file, dict_file, graphs.relations[:, 2], len(predicates), "predicate")
    return graphs, (len(classes), len(classes), len(predicates))


def _drawn_shares(graphs: Graphs) -> np.ndarray | None:
    """How likely each relation [M] is drawn among those of its pair of boxes; None without weights."""
    if graphs.weights is None:
        return None
    pair, weights = graphs.pairs(), np.asarray(graphs.weights, dtype=np.float64)
    sums = np.bincount(pair, weights=weights)[pair]
    return np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)


def correct_img_info(img_dir: str, image_file: str) -> int:
    """Write the true sizes of the images into `image_file`; how many were wrong. Missing images stay as they are."""
    data = read_image_list(image_file, sizes=False)
    left_out = VG_DAMAGED if len(data) == VG_IMAGES else ()
    wrong = 0
    for info in tqdm(data, desc="sizes", unit="image", mininterval=1.0):
        path = os.path.join(img_dir, f"{info['image_id']}.jpg")
        if info["image_id"] not in left_out and os.path.exists(path):
            size = image_size(path)
            wrong += size != (info.get("width"), info.get("height"))
            info["width"], info["height"] = size
    with atomic_write(image_file) as temporary:
        temporary.write_text(json.dumps(data), encoding="utf-8")
    return wrong


def load_graphs(
    roidb_file: str, split: str, num_im: int, num_val_im: int, filter_empty_rels: bool, filter_non_overlap: bool
):
    """Boxes and relations of a split by image.

    Returns:
        bool mask [images of the h5] of those taken, and for each of them boxes int [n, 4] (xyxy at BOX_SCALE), classes
        int64 [n], attributes int64 [n, 10] and relations int64 [m, 3].
    """
    graphs = read_graphs(roidb_file, split, num_im, num_val_im, filter_empty_rels, filter_non_overlap)
    return (
        graphs.mask,
        RowsByImage(graphs.boxes, graphs.num_boxes),
        RowsByImage(graphs.labels, graphs.num_boxes),
        RowsByImage(graphs.attributes, graphs.num_boxes),
        RowsByImage(graphs.relations, graphs.num_relations),
    )


def _check_labels(roidb_file: str, dict_file: str, values: np.ndarray, count: int, what: str) -> None:
    wrong = values[(values < 1) | (values >= count)]
    if len(wrong):
        raise InputError(f"{roidb_file} has the {what} {wrong[0]}, but {dict_file} names 1 to {count - 1}")


def _check_images(img_dir: str, filenames: list[str]) -> None:
    if not os.path.isdir(img_dir):
        raise InputError(f"image folder {img_dir} does not exist; {WHERE}")
    there = set(os.listdir(img_dir))
    missing = [name for name in filenames if name.rpartition(os.sep)[2] not in there]
    if missing:
        raise InputError(f"{len(missing)} of {len(filenames)} images are missing, the first is {missing[0]}; {WHERE}")
