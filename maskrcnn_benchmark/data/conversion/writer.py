"""Writes annotated images as a data set in the VG-SGG format, which docs/datasets.md describes."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

from maskrcnn_benchmark.data.datasets.images import image_format, load_image
from maskrcnn_benchmark.data.datasets.vg_format import ATTRIBUTES_PER_BOX, BOX_SCALE, BOXES, SPLIT_CODES
from maskrcnn_benchmark.data.datasets.vg_lists import NAME_KINDS
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_folder

from .annotations import ImageGraph, count_read
from .tally import KINDS, Tally, add_up

FIRST_IMAGE_ID = 100_000  # beyond the four broken images of Visual Genome that SGB leaves out by name
_JPEG_QUALITY = 95


@dataclass
class BuildReport:
    """What became of the annotations.

    Attributes:
        images: how many are in the data set, by split.
        tallies: by split, what was read, kept and left out.
        clipped: boxes that reached out of their image.
    """

    images: Counter = field(default_factory=Counter)
    tallies: dict[str, Tally] = field(default_factory=dict)
    clipped: int = 0

    @property
    def total(self) -> Tally:
        return add_up(self.tallies.values())

    def contributed_nothing(self) -> list[str]:
        """A sentence for each file of annotations that contributed nothing to any split."""
        files: dict[str, list[Tally]] = {}
        for tally in self.tallies.values():
            files.setdefault(tally.file, []).append(tally)
        return [sentence for some in files.values() if (sentence := add_up(some).contributed_nothing())]

    def __str__(self) -> str:
        splits, total = ", ".join(f"{count} {split}" for split, count in self.images.items()), self.total
        counts = ", ".join(f"{total.kept[kind]} {kind}" for kind in KINDS[1:])
        lines = [f"{total.kept['images']} images ({splits}), {counts}", str(total)]
        if self.clipped:
            lines.append(f"{self.clipped} boxes reached out of their image and were clipped")
        return "\n".join(lines)


class NothingKeptError(InputError):
    """A file of annotations contributed nothing, and no data set was written."""

    def __init__(self, report: BuildReport):
        super().__init__(f"{'; '.join(report.contributed_nothing())}; no data set was written")
        self.report = report


def build_vg_dataset(
    splits: Mapping[str, Sequence[ImageGraph]],
    objects: Sequence[str],
    predicates: Sequence[str],
    output: str | os.PathLike,
    upright: bool = True,
    tallies: Mapping[str, Tally] | None = None,
) -> BuildReport:
    """Write `output`/vg, which appears only when it is complete: VG_100K/<image id>.jpg, VG-SGG-with-attri.h5,
    VG-SGG-dicts-with-attri.json, and image_data.json with the original name of each file.

    Boxes are kept to within half a pixel of the image scaled to 1024. JPEG files are copied as they are; other formats,
    and images that are turned upright, are saved as JPEG.

    Args:
        splits: images of `train`, `val` and `test`; those of no image may be missing.
        objects, predicates: names in the order of their numbers from 1.
        upright: turn images as their EXIF data say; the boxes must be those of the turned image.
        tallies: by split, what the readers of the annotations have counted; it is added to. None: begins here.

    Raises:
        NothingKeptError: one of the files of annotations contributed nothing.
        InputError: `output`/vg exists, a name that is not in `objects` or `predicates`, an image that cannot be read
            or has another size than its annotations say.
    """
    if tallies is None:
        tallies = {split: count_read(images, Tally(f"the {split} split")) for split, images in splits.items()}
    rows, info, report = _Rows(objects, predicates), [], BuildReport(tallies=dict(tallies))
    final = Path(output) / "vg"
    with atomic_folder(final) as folder:
        (folder / "VG_100K").mkdir()
        plan = [(split, image) for split in SPLIT_CODES for image in splits.get(split, ())]
        if not plan and not any(tally.left_out for tally in tallies.values()):
            raise InputError("the annotations have no image")
        for split, image in tqdm(plan, desc="images", unit="image", mininterval=1.0):
            image_id = FIRST_IMAGE_ID + len(info)
            width, height = _save_image(image, folder / "VG_100K" / f"{image_id}.jpg", upright)
            rows.add(image, split, (width, height), report)
            info.append({"image_id": image_id, "width": width, "height": height, "file_name": image.file.name})
        if report.contributed_nothing():
            raise NothingKeptError(report)
        rows.write(folder / "VG-SGG-with-attri.h5")
        (folder / "VG-SGG-dicts-with-attri.json").write_text(json.dumps(rows.dictionary(), indent=1), encoding="utf-8")
        (folder / "image_data.json").write_text(json.dumps(info, indent=1), encoding="utf-8")
    return report


def _save_image(image: ImageGraph, path: Path, upright: bool) -> tuple[int, int]:
    picture = load_image(image.file, upright=upright)
    if image.size is not None and picture.size != tuple(image.size):
        raise InputError(
            f"image {image.file} is {picture.width} x {picture.height} pixels, but its annotations say "
            f"{image.size[0]} x {image.size[1]}"
            + ("; do they mean the image as it is stored (--as-stored)?" if upright else "")
        )
    kind, turned = image_format(image.file)
    if kind == "JPEG" and not (upright and turned):
        shutil.copyfile(image.file, path)
    else:
        picture.save(path, quality=_JPEG_QUALITY, subsampling=0)
    return picture.size


def scaled_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes as the h5 holds them: centre x, centre y, width, height, the longer side of the image being 1024.

    Args:
        boxes: [n, 4], xyxy in pixels, inside the image.
        size: (width, height) of the image.

    Returns:
        int32 [n, 4]; `vg_format.corners` gives the corners back, rounded to whole numbers. No extent is zero.
    """
    scale = BOX_SCALE / max(size)
    limits = np.floor(np.array(size) * scale)
    low = np.minimum(np.rint(boxes[:, :2] * scale), limits - 1).clip(0)
    high = np.maximum(np.rint(boxes[:, 2:] * scale), low + 1)
    # rounded up, for half an odd extent is cut off again where the corners are computed
    return np.column_stack((np.ceil((low + high) / 2), high - low)).astype(np.int32)


class _Rows:
    """The arrays of the h5 while they grow."""

    def __init__(self, objects: Sequence[str], predicates: Sequence[str]):
        self.numbers = {
            what: {name: i for i, name in enumerate(names, 1)}
            for what, names in (("object class", objects), ("predicate", predicates))
        }
        for (what, numbers), names in zip(self.numbers.items(), (objects, predicates), strict=True):
            if len(numbers) != len(names):
                raise InputError(f"the names of {what}s are not distinct: {Counter(names).most_common(1)[0][0]}")
        self.boxes = [np.zeros((0, 4), np.int32)]
        self.labels: list[int] = []
        self.relationships: list[tuple[int, int]] = []
        self.predicates: list[int] = []
        self.split: list[int] = []
        self.spans: dict[str, list[int]] = {
            f"img_to_{end}_{what}": [] for what in ("box", "rel") for end in ("first", "last")
        }

    def number(self, what: str, name: str, file: Path) -> int:
        try:
            return self.numbers[what][name]
        except KeyError:
            raise InputError(f"image {file.name}: the {what} {name!r} is not in the dictionary") from None

    def add(self, image: ImageGraph, split: str, size: tuple[int, int], report: BuildReport) -> None:
        """Append an image."""
        tally, limits = report.tallies[split], np.array([*size, *size]) - 1
        boxes = image.boxes.clip(0, limits)
        inside = (image.boxes[:, 2:] >= 0).all(1) & (image.boxes[:, :2] <= limits[:2]).all(1)
        extended = (image.boxes[:, 2:] >= image.boxes[:, :2]).all(1)
        kept = inside & extended
        report.clipped += int((kept & (boxes != image.boxes).any(1)).sum())
        for place in np.flatnonzero(~kept):
            tally.leave_out(
                "objects",
                "they lie wholly outside of their image" if extended[place] else "their box has no extent",
                f"{image.names[place]} of {image.file.name} with the box {image.boxes[place].tolist()} in an image of "
                f"{size[0]} x {size[1]} pixels",
            )
        first_box, first_relation = len(self.labels), len(self.predicates)
        rows = first_box + np.cumsum(kept) - 1
        self.boxes.append(scaled_boxes(boxes[kept], size))
        self.labels += [self.number("object class", image.names[i], image.file) for i in np.flatnonzero(kept)]
        relations: dict[tuple[int, int, int], None] = {}
        for s, predicate, o in image.relations:
            row = int(rows[s]), int(rows[o]), self.number("predicate", predicate, image.file)
            if s == o:
                reason = "they are of an object with itself"
            elif not (kept[s] and kept[o]):
                reason = "their subject or object was left out"
            elif row in relations:
                reason = "they are repeated"
            else:
                relations[row] = None
                continue
            tally.leave_out("relations", reason, f"{image.names[s]} {predicate} {image.names[o]} of {image.file.name}")
        for subject, object_, predicate in relations:
            self.relationships.append((subject, object_))
            self.predicates.append(predicate)
        for what, first, end in (
            ("box", first_box, len(self.labels)),
            ("rel", first_relation, len(self.predicates)),
        ):
            self.spans[f"img_to_first_{what}"].append(first if end > first else -1)
            self.spans[f"img_to_last_{what}"].append(end - 1 if end > first else -1)
        self.split.append(SPLIT_CODES[split])
        report.images[split] += 1
        tally.kept.update(images=1, objects=int(kept.sum()), relations=len(relations))

    def write(self, path: Path) -> None:
        with h5py.File(path, "w") as h5:
            h5[BOXES] = np.concatenate(self.boxes)
            h5["labels"] = np.array(self.labels, np.int64)[:, None]
            h5["attributes"] = np.zeros((len(self.labels), ATTRIBUTES_PER_BOX), np.int64)
            h5["relationships"] = np.array(self.relationships, np.int32).reshape(-1, 2)
            h5["predicates"] = np.array(self.predicates, np.int64)[:, None]
            h5["split"] = np.array(self.split, np.int32)
            for name, values in self.spans.items():
                h5[name] = np.array(values, np.int32)

    def dictionary(self) -> dict:
        """Names and numbers both ways, and how often each occurs."""
        columns = zip(
            NAME_KINDS,
            ("object", "predicate", "attribute"),
            ({**self.numbers["object class"]}, {**self.numbers["predicate"]}, {}),
            (Counter(self.labels), Counter(self.predicates), Counter()),
            strict=True,
        )
        found: dict[str, dict] = {}
        for kind, counted, numbers, counts in columns:
            found[f"{kind}_to_idx"] = numbers
            found[f"idx_to_{kind}"] = {str(i): name for name, i in numbers.items()}
            found[f"{counted}_count"] = {name: counts[i] for name, i in numbers.items()}
        return found
