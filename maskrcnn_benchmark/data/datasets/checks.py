"""Checks a data set in the VG-SGG format from end to end, and counts what is in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from maskrcnn_benchmark.data.datasets.evaluation.vg.ranks import contains_triplets
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.fonts import cover

from .images import image_format, load_image
from .vg_format import (
    BOX_SCALE,
    BOXES,
    SPLIT_CODES,
    Graphs,
    corners,
    find_faults,
    load_image_filenames,
    load_info,
    read_graphs,
    read_h5,
    rows_of,
)
from .vg_lists import dictionary_faults, read_dictionary

_LISTED = 10  # names at each end of a long tail
_RARE = 10  # fewer occurrences in training are few
_SHOWN = 5  # examples of one fault
_WIDTHS = (10, 13, 10, 11, 21)  # columns of the table


@dataclass
class SplitCounts:
    """What a split holds; images without boxes do not belong to any."""

    images: int
    without_relations: int
    objects: int
    relations: int
    zero_shot: int  # relations whose triplet of classes training never shows


@dataclass
class DatasetReport:
    """What is wrong with a data set, and how much of what it holds.

    Attributes:
        faults: what has to be mended, a sentence each.
        notes: what is unusual, but no fault.
        splits: by name.
        classes, predicates: how often each occurs in training, the most frequent first.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    splits: dict[str, SplitCounts] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    predicates: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = []
        if self.splits:
            heads = zip(("images", "no relation", "objects", "relations", "zero-shot relations"), _WIDTHS, strict=True)
            lines.append(f"{'split':8}" + "".join(f"{head:>{width}}" for head, width in heads))
        for name, split in self.splits.items():
            share = f"{split.zero_shot} ({100 * split.zero_shot / max(split.relations, 1):.1f}%)"
            cells = (split.images, split.without_relations, split.objects, split.relations)
            cells = zip((*cells, "-" if name == "train" else share), _WIDTHS, strict=True)
            lines.append(f"{name:8}" + "".join(f"{cell:>{width}}" for cell, width in cells))
        for what, counts in (("predicates", self.predicates), ("object classes", self.classes)):
            if counts:
                lines += ["", *_long_tail(what, counts)]
        for title, sentences in (("note", self.notes), ("fault", self.faults)):
            if sentences:
                lines += ["", *(f"{title}: {sentence}" for sentence in sentences)]
        return "\n".join([*lines, "", f"{len(self.faults) or 'no'} fault{'s' * (len(self.faults) != 1)}"])


def _long_tail(what: str, counts: Mapping[str, int]) -> list[str]:
    values = np.array(list(counts.values()))
    listed = [f"{name} {count}" for name, count in counts.items()]
    if len(listed) > 2 * _LISTED:
        listed = [*listed[:_LISTED], "...", *listed[-_LISTED:]]
    total = max(values.sum(), 1)
    return [
        f"{what} in training, the most frequent first: {', '.join(listed)}",
        f"    the first {min(_LISTED, len(values))} are {100 * values[:_LISTED].sum() / total:.1f}% of all; "
        f"{(values == 0).sum()} of {len(values)} never occur, {(values < _RARE).sum()} less than {_RARE} times",
    ]


def check_dataset(
    img_dir: str,
    roidb_file: str,
    dict_file: str,
    image_file: str,
    num_val_im: int = 5000,
    check_images: bool = True,
) -> DatasetReport:
    """Check every box, label, index, split and image of a data set; for the arguments see `VGDataset`.

    Args:
        check_images: decode every image; else look only whether the files exist.

    Returns:
        faults and counts; only faults where the files cannot be read at all.
    """
    report = DatasetReport()
    arrays, info, listed = (
        _attempt(report, read, *arguments)
        for read, arguments in (
            (read_h5, (roidb_file,)), (read_dictionary, (dict_file,)), (load_image_filenames, (img_dir, image_file)),
        )
    )  # fmt: skip
    if info is not None:
        report.faults += dictionary_faults(dict_file, info)
    if arrays is None or listed is None or info is None or dictionary_faults(dict_file, info, whole=False):
        return report
    classes, predicates, attributes = load_info(dict_file)
    files, infos = listed
    structure = find_faults(arrays)
    report.faults += [f"{roidb_file}: {fault}" for fault in structure]
    report.faults += _label_faults(arrays, len(classes), len(predicates), len(attributes))
    if len(files) != len(arrays["split"]):
        report.faults.append(f"{image_file} lists {len(files)} images, but {roidb_file} has {len(arrays['split'])}")
    else:
        _check_files(report, img_dir, files, infos, check_images)
        if not structure:
            _check_extents(report, arrays, infos)
    if not structure:
        _check_relations(report, arrays)
        marked = (arrays["split"] == SPLIT_CODES["val"]).any()
        # with neither marked nor counted images, all training images would serve for validation
        splits = [split for split in SPLIT_CODES if split != "val" or marked or num_val_im > 0]
        graphs = {split: read_graphs(roidb_file, split, -1, num_val_im, False) for split in splits}
        _count(report, graphs, classes, predicates)
        for split in ("train", "test"):
            if not report.splits[split].images:
                hint = f" (NUM_VAL_IM is {num_val_im})" if split == "train" else ""
                report.faults.append(f"the {split} split has no image with boxes{hint}")
    return report


def _attempt(report: DatasetReport, read: Callable, *arguments):
    """What a function returns; None where the input is wrong, which becomes a fault."""
    try:
        return read(*arguments)
    except InputError as error:
        report.faults.append(str(error))
        return None


def _label_faults(arrays: Mapping[str, np.ndarray], classes: int, predicates: int, attributes: int) -> list[str]:
    faults = []
    # the counts of names include the background, number 0, which is no label but fills up attributes
    for name, least, end in (
        ("labels", 1, classes), ("predicates", 1, predicates), ("attributes", 0, max(attributes, 1)),
        ("split", 0, len(SPLIT_CODES)),
    ):  # fmt: skip
        if name not in arrays:
            continue
        values = arrays[name]
        wrong = np.unique(values[(values < least) | (values >= end)])
        if len(wrong):
            some = ", ".join(map(str, wrong[:_SHOWN].tolist()))
            faults.append(f"{name} has the numbers {some}, expected {least} to {end - 1}")
    return faults


def _check_files(report: DatasetReport, img_dir: str, files: list[str], infos: list[dict], decode: bool) -> None:
    if not os.path.isdir(img_dir):
        report.faults.append(f"image folder {img_dir} does not exist")
        return
    there = set(os.listdir(img_dir))
    missing = [path for path in files if os.path.basename(path) not in there]
    _add(report.faults, missing, "images are missing")
    if not decode:
        return
    broken, sizes, turned = [], [], []
    present = [(path, info) for path, info in zip(files, infos, strict=True) if os.path.basename(path) in there]
    for path, info in tqdm(present, desc="images", unit="image", mininterval=1.0):
        try:
            width, height = load_image(path).size
            is_turned = image_format(path)[1]
        except InputError as error:
            broken.append(str(error))
            continue
        if (width, height) != (info["width"], info["height"]):
            sizes.append(f"{path} is {width} x {height}, listed as {info['width']} x {info['height']}")
        if is_turned:
            turned.append(path)
    _add(report.faults, broken, "images cannot be read")
    _add(report.faults, sizes, "images have another size than listed; --correct-sizes mends the list")
    _add(report.notes, turned, "images have EXIF data that say to turn them; they are read as they are stored")


def _add(sentences: list[str], found: list[str], what: str) -> None:
    if found:
        more = "" if len(found) <= _SHOWN else f" and {len(found) - _SHOWN} more"
        sentences.append(f"{len(found)} {what}: {'; '.join(found[:_SHOWN])}{more}")


def _check_extents(report: DatasetReport, arrays: Mapping[str, np.ndarray], infos: list[dict]) -> None:
    """Boxes that reach out of their image, by more than the rounding of corners."""
    every = np.arange(len(infos))
    rows, counts = rows_of(arrays, "box", every)
    sizes = np.array([[info["width"], info["height"]] for info in infos], dtype=float).reshape(-1, 2)
    limits = (sizes / sizes.max(1, keepdims=True) * BOX_SCALE).repeat(counts, axis=0)
    boxes = corners(arrays[BOXES])[rows]
    outside = (boxes[:, :2] < -1).any(1) | (boxes[:, 2:] > limits + 1).any(1)
    image = every.repeat(counts)
    _add(
        report.notes,
        [
            f"{box.tolist()} of image {infos[i]['image_id']}, which is {width:.0f} x {height:.0f} in these units"
            for box, i, (width, height) in zip(boxes[outside], image[outside], limits[outside], strict=True)
        ],
        f"boxes reach out of their image (corners at {BOX_SCALE}); they are clipped when they are read",
    )
    gone = (boxes[:, 2:] <= 0).any(1) | (boxes[:, :2] >= limits).any(1)
    _add(report.faults, [str(row) for row in rows[gone].tolist()], "boxes lie wholly outside of their image, rows")


def _check_relations(report: DatasetReport, arrays: Mapping[str, np.ndarray]) -> None:
    ends = arrays["relationships"].astype(np.int64)
    rows = np.column_stack((ends, arrays["predicates"][:, 0]))
    _add(
        report.notes,
        [str(row) for row in np.flatnonzero(ends[:, 0] == ends[:, 1]).tolist()],
        "relations are of an object with itself, rows",
    )
    repeated = len(rows) - len(np.unique(rows, axis=0))
    if repeated:
        report.notes.append(f"{repeated} relations are repetitions of others")
    for what in ("box", "rel"):
        covered, _ = rows_of(arrays, what, np.arange(len(arrays["split"])))
        total = len(arrays[BOXES]) if what == "box" else len(rows)
        lost = total - len(np.unique(covered))
        if lost:
            report.notes.append(f"{lost} {'boxes' if what == 'box' else 'relations'} belong to no image")
        if len(covered) != len(np.unique(covered)):
            report.faults.append(f"some {'boxes' if what == 'box' else 'relations'} belong to several images")


def _count(report: DatasetReport, graphs: Mapping[str, Graphs], classes: list[str], predicates: list[str]) -> None:
    training = graphs["train"].triplets()
    for split, one in graphs.items():
        known = contains_triplets(one.triplets(), training)
        report.splits[split] = SplitCounts(
            images=len(one.num_boxes),
            without_relations=int((one.num_relations == 0).sum()),
            objects=len(one.labels),
            relations=len(one.relations),
            zero_shot=int((~known).sum()),
        )
    for counted, values, names in (
        (report.classes, graphs["train"].labels, classes),
        (report.predicates, training[:, 2], predicates),
    ):
        found = np.bincount(values[(values > 0) & (values < len(names))], minlength=len(names))[1:]
        counted.update((names[1 + i], int(found[i])) for i in np.argsort(-found, kind="stable"))


def report_figure(report: DatasetReport) -> Figure:
    """The long tails of predicates and classes in training, and the share of zero-shot relations, as bars."""
    tails = [("predicates", report.predicates), ("object classes", report.classes)]
    widest = max(len(counts) for _, counts in tails)
    cover(name for _, counts in tails for name in counts)
    figure = Figure(figsize=(max(7.0, 1.5 + 0.13 * widest), 9), dpi=100, layout="constrained")
    axes = figure.subplots(3, 1, height_ratios=(3, 3, 2))
    for axis, (what, counts) in zip(axes[:2], tails, strict=True):
        axis.bar(range(len(counts)), list(counts.values()), color="#0072B2")
        axis.set_yscale("symlog", linthresh=1)
        axis.set_xlim(-0.8, max(len(counts), 1) - 0.2)
        axis.set_xticks(range(len(counts)), list(counts), rotation=90, fontsize=7, parse_math=False)
        axis.set_ylabel("in training")
        axis.set_title(f"{len(counts)} {what}", fontsize=10, loc="left")
    names = [name for name in report.splits if name != "train"]
    known = [report.splits[name].relations - report.splits[name].zero_shot for name in names]
    new = [report.splits[name].zero_shot for name in names]
    axes[2].barh(names, known, height=0.5, color="#0072B2", label="triplet seen in training")
    axes[2].barh(names, new, left=known, height=0.5, color="#D55E00", label="zero-shot")
    for row, (seen, unseen) in enumerate(zip(known, new, strict=True)):
        text = f" {100 * unseen / max(seen + unseen, 1):.1f}% zero-shot"
        axes[2].text(seen + unseen, row, text, va="center", fontsize=9)
    axes[2].set_xlim(0, 1.2 * max([*(a + b for a, b in zip(known, new, strict=True)), 1]))
    axes[2].set_ylim(-0.5, max(len(names), 1) - 0.5)
    axes[2].set_xlabel("relations")
    axes[2].legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 1.25), ncols=2, frameon=False)
    return figure
