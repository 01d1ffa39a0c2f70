"""Visual Genome with the VG-150 labels, and every data set in the same format (VG-SGG)."""

from __future__ import annotations

import json
import os
import random

import h5py
import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import InputError

BOX_SCALE = 1024  # the longer side of every image in the h5's boxes

_WHERE = "docs/datasets.md says where to get the files and where each goes"
# Visual Genome lists 108,077 images; these four are damaged and have no place in the h5.
_VG_IMAGES = 108077
_VG_DAMAGED = {1592, 1722, 4616, 4617}
_SPLIT_CODES = {"train": 0, "val": 1, "test": 2}
_H5_ARRAYS = (
    "labels", "attributes", f"boxes_{BOX_SCALE}", "img_to_first_box", "img_to_last_box",
    "img_to_first_rel", "img_to_last_rel", "relationships", "predicates", "split",
)  # fmt: skip


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
        if split not in _SPLIT_CODES:
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
        graphs = _read_graphs(roidb_file, split, num_im, num_val_im, filter_empty_rels, self.filter_non_overlap)
        self.split_mask, self.gt_boxes, self.gt_classes, self.gt_attributes, self.relationships, self.weights = graphs
        _check_labels(roidb_file, dict_file, self.gt_classes, len(self.ind_to_classes), "object class")
        predicates = [relations[:, 2] for relations in self.relationships]
        _check_labels(roidb_file, dict_file, predicates, len(self.ind_to_predicates), "predicate")
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
                    f"says {info['width']} x {info['height']}; correct_img_info() mends the list"
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
            files = [str(name) for name in _read_json(path)]
        else:
            raise InputError(f"TEST.CUSTUM_PATH {path} is neither a folder nor a json list of images")
        if not files:
            raise InputError(f"TEST.CUSTUM_PATH {path} has no image")
        self.custom_files = files
        self.img_info = []
        for name in files:
            width, height = load_image(name).size
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
        relation_map = torch.zeros((len(target), len(target)), dtype=torch.int64)
        # evaluation draws the same each time and leaves the random state of training alone
        generator = random if self.split == "train" else random.Random(index)
        for subject, obj, predicate in relations.tolist():
            # of several predicates of a pair, each later one replaces the one before with probability one half
            if relation_map[subject, obj] == 0 or generator.random() > 0.5:
                relation_map[subject, obj] = predicate
        target.add_field("relation", relation_map, is_triplet=True)
        if not evaluation:
            return target.clip_to_image(remove_empty=True)
        target = target.clip_to_image(remove_empty=False)
        target.add_field("relation_tuple", torch.as_tensor(relations, dtype=torch.int64))
        return target

    def get_statistics(self) -> dict:
        """Counts of the training split: SGB's `fg_matrix`, `pred_dist` and the names.

        Returns:
            fg_matrix: int64 [O, O, R], how often a subject class and an object class stand in a relation; channel 0
                counts overlapping pairs of boxes, from one on.
            pred_dist: float [O, O, R], log(share of each predicate among the pair's + 1e-3).
            obj_classes, rel_classes, att_classes: names, background first.
        """
        fg_matrix, bg_matrix = get_VG_statistics(
            self.img_dir, self.roidb_file, self.dict_file, self.image_file, num_val_im=self.num_val_im
        )
        fg_matrix[:, :, 0] = bg_matrix + 1
        pred_dist = np.log(fg_matrix / fg_matrix.sum(2, keepdims=True) + 1e-3)
        return {
            "fg_matrix": torch.from_numpy(fg_matrix),
            "pred_dist": torch.from_numpy(pred_dist).float(),
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
    img_dir: str, roidb_file: str, dict_file: str, image_file: str, must_overlap: bool = True, num_val_im: int = 5000
) -> tuple[np.ndarray, np.ndarray]:
    """Count relations and pairs of boxes in the training split.

    Args:
        must_overlap: as background, count pairs of overlapping boxes only (all pairs of an image without any).
        num_val_im: training images taken off for validation, where the h5 marks none.

    Returns:
        int64 [O, O, R] counts of (subject class, object class, predicate), and int64 [O, O] counts of pairs.
    """
    classes, predicates, _ = load_info(dict_file)
    num_classes, num_predicates = len(classes), len(predicates)
    _, boxes, labels, _, relations, _ = _read_graphs(roidb_file, "train", -1, num_val_im, True, True)
    fg = np.zeros(num_classes * num_classes * num_predicates, dtype=np.int64)
    bg = np.zeros(num_classes * num_classes, dtype=np.int64)
    triplets = [
        (g[r[:, 0]] * num_classes + g[r[:, 1]]) * num_predicates + r[:, 2]
        for g, r in zip(labels, relations, strict=True)
    ]
    pairs = []
    for image_boxes, image_labels in zip(boxes, labels, strict=True):
        pair = box_filter(image_boxes, must_overlap)
        pairs.append(image_labels[pair[:, 0]] * num_classes + image_labels[pair[:, 1]])
    if triplets:
        fg += np.bincount(np.concatenate(triplets), minlength=fg.size)
        bg += np.bincount(np.concatenate(pairs), minlength=bg.size)
    return fg.reshape(num_classes, num_classes, num_predicates), bg.reshape(num_classes, num_classes)


def box_filter(boxes: np.ndarray, must_overlap: bool = False) -> np.ndarray:
    """Ordered pairs [k, 2] of different boxes [n, 4]; with `must_overlap` those that overlap, where any do."""
    others = ~np.eye(len(boxes), dtype=bool)
    if must_overlap:
        overlap = (bbox_overlaps(boxes.astype(float), boxes.astype(float), to_move=0) > 0) & others
        if overlap.any():
            return np.argwhere(overlap)
    return np.argwhere(others)


def bbox_overlaps(boxes1: np.ndarray, boxes2: np.ndarray, to_move: int = 1) -> np.ndarray:
    """Intersection areas [n, m] of xyxy boxes; `to_move` is 1 for inclusive corners."""
    top_left = np.maximum(boxes1[:, None, :2], boxes2[None, :, :2])
    bottom_right = np.minimum(boxes1[:, None, 2:], boxes2[None, :, 2:])
    return np.clip(bottom_right - top_left + to_move, 0, None).prod(2)


def correct_img_info(img_dir: str, image_file: str) -> int:
    """Write the true sizes of the images into `image_file`; how many were wrong."""
    from maskrcnn_benchmark.utils.files import atomic_write

    data = _read_json(image_file)
    wrong = 0
    for info in data:
        path = os.path.join(img_dir, f"{info['image_id']}.jpg")
        if os.path.exists(path):
            size = load_image(path).size
            wrong += size != (info["width"], info["height"])
            info["width"], info["height"] = size
    with atomic_write(image_file) as temporary:
        temporary.write_text(json.dumps(data))
    return wrong


def load_info(dict_file: str, add_bg: bool = True) -> tuple[list[str], list[str], list[str]]:
    """Names of object classes, predicates and attributes in the order of their indices, background first."""
    info = _read_json(dict_file)
    names = []
    for key in ("label_to_idx", "predicate_to_idx", "attribute_to_idx"):
        if key not in info and key != "attribute_to_idx":
            raise InputError(f"{dict_file} has no {key}; {_WHERE}")
        to_idx = dict(info.get(key, {}))
        if add_bg:
            to_idx["__background__"] = 0
        names.append(sorted(to_idx, key=to_idx.__getitem__))
    return names[0], names[1], names[2]


def load_image_filenames(img_dir: str, image_file: str) -> tuple[list[str], list[dict]]:
    """Paths and descriptions of all images that the h5 has a row for."""
    data = _read_json(image_file)
    if len(data) == _VG_IMAGES:
        data = [info for info in data if info["image_id"] not in _VG_DAMAGED]
    return [os.path.join(img_dir, f"{info['image_id']}.jpg") for info in data], data


def load_graphs(
    roidb_file: str, split: str, num_im: int, num_val_im: int, filter_empty_rels: bool, filter_non_overlap: bool
):
    """Boxes and relations of a split by image.

    Returns:
        bool mask [images of the h5] of those taken, and for each of them boxes int [n, 4] (xyxy at BOX_SCALE), classes
        int64 [n], attributes int64 [n, 10] and relations int64 [m, 3].
    """
    return _read_graphs(roidb_file, split, num_im, num_val_im, filter_empty_rels, filter_non_overlap)[:5]


def load_image(path: str) -> Image.Image:
    """An image as RGB, as it is stored (a rotation in its EXIF data is not applied, as in SGB).

    16-bit images are scaled to 8 bits; transparency is dropped.

    Raises:
        InputError: a file that is missing, cut short or no image.
    """
    try:
        with Image.open(path) as image:
            if image.mode.startswith("I") or image.mode == "F":
                values = np.asarray(image, dtype=np.float32)
                if values.max(initial=0) > 255:
                    values = values / 257.0
                return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("RGB")
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise InputError(f"image {path} does not exist") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(f"image {path} cannot be read: {error}") from error


def _read_json(path: str):
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream)
    except FileNotFoundError as error:
        raise InputError(f"data file {path} does not exist; {_WHERE}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"data file {path} is cut short or no json: {error}") from error


def _read_h5(path: str) -> dict[str, np.ndarray]:
    if not os.path.isfile(path):
        raise InputError(f"data file {path} does not exist; {_WHERE}")
    try:
        with h5py.File(path, "r") as h5:
            missing = [name for name in _H5_ARRAYS if name not in h5 and name != "attributes"]
            if missing:
                raise InputError(f"data file {path} has no {', '.join(missing)}; {_WHERE}")
            arrays = {name: h5[name][:] for name in _H5_ARRAYS if name in h5}
            if "predicate_weights" in h5:
                arrays["predicate_weights"] = h5["predicate_weights"][:].reshape(-1)
    except (OSError, RuntimeError) as error:
        raise InputError(f"data file {path} is cut short or no h5 file: {error}") from error
    if "attributes" not in arrays:
        arrays["attributes"] = np.zeros((len(arrays["labels"]), 10), dtype=np.int64)
    rows = {name: len(arrays[name]) for name in ("relationships", "predicates", "predicate_weights") if name in arrays}
    if len(set(rows.values())) > 1:
        raise InputError(f"data file {path}: relationships, predicates and weights differ in length: {rows}")
    return arrays


def _choose_images(arrays: dict, split: str, num_im: int, num_val_im: int, filter_empty_rels: bool) -> np.ndarray:
    """Indices of the images of a split."""
    codes = arrays["split"]
    marked = bool((codes == _SPLIT_CODES["val"]).any())
    code = _SPLIT_CODES[split] if marked or split == "test" else _SPLIT_CODES["train"]
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


def _read_graphs(roidb_file, split, num_im, num_val_im, filter_empty_rels, filter_non_overlap):
    """As `load_graphs`, and the weights of the relations by image, or None where the h5 has none."""
    arrays = _read_h5(roidb_file)
    boxes = arrays[f"boxes_{BOX_SCALE}"].copy()  # centre x, centre y, width, height
    if (boxes[:, :2] < 0).any() or (boxes[:, 2:] <= 0).any():
        raise InputError(f"data file {roidb_file} has boxes of no extent or outside the image")
    # whole numbers stay whole, cut towards zero, as in SGB
    boxes[:, :2] = boxes[:, :2] - boxes[:, 2:] / 2
    boxes[:, 2:] += boxes[:, :2]
    relations = np.column_stack((arrays["relationships"], arrays["predicates"][:, 0])).astype(np.int64)
    labels = arrays["labels"][:, 0].astype(np.int64)
    attributes = arrays["attributes"].astype(np.int64)
    weights = arrays.get("predicate_weights")

    kept, per_image = [], []
    for i in _choose_images(arrays, split, num_im, num_val_im, filter_empty_rels):
        box_rows = slice(arrays["img_to_first_box"][i], arrays["img_to_last_box"][i] + 1)
        first_rel = arrays["img_to_first_rel"][i]
        rel_rows = slice(first_rel, arrays["img_to_last_rel"][i] + 1) if first_rel >= 0 else slice(0, 0)
        image_relations = relations[rel_rows] - [box_rows.start, box_rows.start, 0]
        image_boxes = boxes[box_rows]
        if len(image_relations) and not (
            image_relations[:, :2].min() >= 0 and image_relations[:, :2].max() < len(image_boxes)
        ):
            raise InputError(f"data file {roidb_file}: relations of image number {i} point to boxes of another image")
        image_weights = None if weights is None else weights[rel_rows]
        if filter_non_overlap:
            # without any overlapping relation the image is left out
            overlap = bbox_overlaps(image_boxes, image_boxes)[image_relations[:, 0], image_relations[:, 1]] > 0
            if not overlap.any():
                continue
            image_relations = image_relations[overlap]
            image_weights = None if image_weights is None else image_weights[overlap]
        kept.append(i)
        per_image.append((image_boxes, labels[box_rows], attributes[box_rows], image_relations, image_weights))
    mask = np.zeros(len(arrays["split"]), dtype=bool)
    mask[kept] = True
    columns = [list(column) for column in zip(*per_image, strict=True)] or [[], [], [], [], []]
    return mask, *columns[:4], None if weights is None else columns[4]


def _check_labels(roidb_file: str, dict_file: str, values: list[np.ndarray], count: int, what: str) -> None:
    flat = np.concatenate(values) if values else np.zeros(0, dtype=np.int64)
    if len(flat) and not (flat.min() >= 1 and flat.max() < count):
        wrong = flat.max() if flat.max() >= count else flat.min()
        raise InputError(f"{roidb_file} has the {what} {wrong}, but {dict_file} names 1 to {count - 1}")


def _check_images(img_dir: str, filenames: list[str]) -> None:
    if not os.path.isdir(img_dir):
        raise InputError(f"image folder {img_dir} does not exist; {_WHERE}")
    there = set(os.listdir(img_dir))
    missing = [name for name in filenames if os.path.basename(name) not in there]
    if missing:
        raise InputError(f"{len(missing)} of {len(filenames)} images are missing, the first is {missing[0]}; {_WHERE}")
