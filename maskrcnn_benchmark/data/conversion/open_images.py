"""The relations of Open Images (V6 and the challenges of 2018 and 2019).

A csv with the columns ImageID, LabelName1, LabelName2, XMin1, XMax1, YMin1, YMax1, XMin2, XMax2, YMin2, YMax2 and
RelationshipLabel: a row is a relation, boxes are shares of the image's width and height, classes are codes such as
/m/04yx4. Names of classes are in other csv files, with the code first and the name second (`class-descriptions`).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from maskrcnn_benchmark.data.datasets.images import image_size
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import check_file
from maskrcnn_benchmark.utils.json_files import conform

from .annotations import Annotations, ImageGraph, boxes_of, entry, name
from .graphs_json import with_names_of_images
from .image_folders import ImageFolders, ImageNotFoundError
from .tally import Tally

_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_COLUMNS = (
    "ImageID", "LabelName1", "LabelName2", "RelationshipLabel",
    *(f"{corner}{end}" for end in (1, 2) for corner in _CORNERS),
)  # fmt: skip
_ATTRIBUTE = "is"  # such rows say of one object what it is like


def read_open_images(
    path: str | os.PathLike,
    names_paths: Sequence[str | os.PathLike],
    folders: Sequence[str | os.PathLike],
    upright: bool = True,
) -> Annotations:
    """Annotations of Open Images; equal boxes of one class are one object.

    Left out and counted are attributes (the predicate `is`), and images that are in none of the folders, for few people
    have all. Classes and predicates are those that occur, numbered in the order of the alphabet.

    Args:
        names_paths: csv files with the names of classes.
        upright: boxes are those of the image turned as its EXIF data say.

    Raises:
        InputError: a missing file, or a row that is not as described.
    """
    names, find, tally = _read_names(names_paths), ImageFolders(folders).find, Tally(str(path))
    files: dict[str, Path | None] = {}
    codes: dict[str, str] = {}
    objects: dict[str, dict[tuple[str, tuple[float, ...]], int]] = {}
    relations: dict[str, list[tuple[int, str, int]]] = {}
    for line, row in _rows(path):
        with entry(path, f"line {line}"):
            image = row["ImageID"]
            if image not in files:
                files[image] = _find(find, image, tally)
            if files[image] is None:
                tally.read["relations"] += 1
                tally.leave_out("relations", "their image is in none of the folders", image)
                continue
            if row["RelationshipLabel"] == _ATTRIBUTE:
                tally.read["relations"] += 1
                tally.leave_out("relations", f"they are attributes (the predicate {_ATTRIBUTE!r})", f"line {line}")
                continue
            places, ends = objects.setdefault(image, {}), []
            for end in (1, 2):
                code = row[f"LabelName{end}"]
                if code not in names:
                    raise InputError(f"the class {code!r} is in none of {', '.join(map(str, names_paths))}")
                if codes.setdefault(names[code], code) != code:
                    raise InputError(f"the classes {codes[names[code]]} and {code} are both called {names[code]!r}")
                thing = (names[code], tuple(_share(row[f"{corner}{end}"]) for corner in _CORNERS))
                ends.append(places.setdefault(thing, len(places)))
            predicate = name(row["RelationshipLabel"], "the predicate")
            relations.setdefault(image, []).append((ends[0], predicate, ends[1]))
    images = []
    for image, places in objects.items():
        file = files[image]
        assert file is not None  # rows of other images were left out
        width, height = image_size(file, upright=upright)
        boxes = boxes_of([box for _, box in places]) * [width, height, width, height]
        boxes[:, 2:] -= 1  # both corners included
        images.append(ImageGraph(file, boxes, [one for one, _ in places], relations[image], (width, height)))
    return with_names_of_images(images, tally)


def _find(find, image: str, tally: Tally) -> Path | None:
    try:
        return find(f"{image}.jpg")
    except ImageNotFoundError:
        tally.read["images"] += 1
        tally.leave_out("images", "they are in none of the folders", image)
        return None


def _share(value: str) -> float:
    try:
        share = float(value)
    except ValueError:
        share = float("nan")
    if not -0.01 <= share <= 1.01:
        raise InputError(f"a corner is at {value}; it must be a share of the image, from 0 to 1")
    return share


def _rows(path: str | os.PathLike) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows with their lines in the file."""
    for line, row in _csv(path):
        if line == 1:
            missing = [column for column in _COLUMNS if column not in row]
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}; docs/own_data.md describes the format")
            columns = row
        elif row:
            if len(row) != len(columns):
                raise InputError(f"{path}, line {line}: {len(row)} values for {len(columns)} columns")
            values = dict(zip(columns, row, strict=True))
            yield line, conform(values, json_schemas.OpenImagesRow, f"{path}, line {line}")


def _read_names(paths: Sequence[str | os.PathLike]) -> dict[str, str]:
    names: dict[str, str] = {}
    for path in paths:
        for line, row in _csv(path):
            if not row or row[0] == "LabelName":
                continue
            conform(row[:2], json_schemas.OpenImagesName, f"{path}, line {line}")
            with entry(path, f"line {line}"):
                if names.setdefault(row[0], row[1]) != row[1]:
                    raise InputError(f"the class {row[0]} is {row[1]!r} here, but {names[row[0]]!r} before")
                name(row[1], "the name of a class")
    return names


def _csv(path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    check_file(path, "data file")
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            reader = csv.reader(stream)
            for row in reader:
                yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"data file {path} is no csv: {error}") from error
