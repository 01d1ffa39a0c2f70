"""Test sets without image files: what is annotated, by number and by name of the image."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.config.paths_catalog import load_catalog
from maskrcnn_benchmark.data.conversion.annotations import boxes_of, entry, number
from maskrcnn_benchmark.data.datasets.vg_format import (
    BOX_SCALE,
    RowsByImage,
    load_image_filenames,
    load_info,
    read_graphs,
)
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import conform

from ..stored_arrays import StoredArrays
from ..vg.image_ranks import AnnotatedGraph
from .clean import checked_boxes, checked_places
from .json_stream import stream_graphs, stream_json
from .notes import Notes
from .saved_boxlists import SUFFIXES, annotations_of, numbers_of

_BACKGROUND = "__background__"


@dataclass
class AnnotatedSet:
    """The images of a test set with their annotations; has of a `VGDataset` what the evaluation reads.

    Attributes:
        name: for `evaluation.json`.
        split: `train`, `val` or `test`; "" where a file does not say.
        ind_to_classes, ind_to_predicates: names, background first.
        filenames: of each image.
        img_info: `width` and `height` of each image in pixels (0 where not known), and `image_id` where there is one.
        gt_boxes: xyxy [n, 4] of each image, at BOX_SCALE or in pixels, see `scaled`.
        gt_classes, relationships: int [n], and int [m, 3] of (subject index, object index, predicate).
        scaled: the boxes are at BOX_SCALE.
        cfg: the configuration that names the data set; None without one.
        notes: what is unusual in it.
    """

    name: str
    split: str
    ind_to_classes: list[str]
    ind_to_predicates: list[str]
    filenames: Sequence[str]
    img_info: Sequence[dict]
    gt_boxes: Sequence[np.ndarray]
    gt_classes: Sequence[np.ndarray]
    relationships: Sequence[np.ndarray]
    scaled: bool = False
    cfg: Any = None
    notes: Sequence[str] = ()
    _by_path: dict[str, int] = field(default_factory=dict, repr=False)
    _by_name: dict[str, int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.filenames)

    def get_img_info(self, index: int) -> dict:
        return self.img_info[index]

    def size(self, index: int) -> tuple[int, int] | None:
        """(width, height) in pixels; None where not known."""
        info = self.img_info[index]
        return (info["width"], info["height"]) if info["width"] and info["height"] else None

    def graph(self, index: int) -> AnnotatedGraph:
        """What an image shows, in pixels."""
        boxes = self.gt_boxes[index]
        if self.scaled:
            width, height = self.size(index)
            boxes = (boxes / BOX_SCALE * max(width, height)).astype(np.float32).reshape(-1, 4)
            boxes = boxes.clip(0, np.array([width - 1, height - 1] * 2, dtype=np.float32))
        return AnnotatedGraph(boxes, self.gt_classes[index], self.relationships[index])

    def find(self, key: str) -> int | None:
        """The place of an image by its path, file name, file name without suffix, or id; None without such an image, or
        where two have the name."""
        if not self._by_path:
            _number(self._by_path, ((name, place) for place, name in enumerate(self.filenames)))
        place = self._by_path.get(key)
        if place is None:
            if not self._by_name:  # what most files do not need
                _number(self._by_name, self._names())
            base = os.path.basename(key)
            place = self._by_name.get(key, self._by_name.get(base, self._by_name.get(os.path.splitext(base)[0], -1)))
        return None if place < 0 else place

    def subset(self, places: Sequence[int]) -> AnnotatedSet:
        """A part of the images, in rising order of their places."""
        columns = ("filenames", "img_info", "gt_boxes", "gt_classes", "relationships")
        picked = {name: Picked(getattr(self, name), places) for name in columns}
        return replace(self, _by_path={}, _by_name={}, **picked)

    def _names(self) -> Iterator[tuple[str, int]]:
        """What else an image may be called."""
        for place, (name, info) in enumerate(zip(self.filenames, self.img_info, strict=True)):
            base = os.path.basename(name)
            for key in {base, os.path.splitext(base)[0], str(info.get("image_id", base))}:
                yield key, place


def _number(places: dict[str, int], names: Iterable[tuple[str, int]]) -> None:
    """Places by name; names that two images share get -1."""
    for name, place in names:
        places[name] = -1 if name in places else place


class Picked(Sequence):
    """Some elements of a sequence, by their places."""

    def __init__(self, elements: Sequence, places: Sequence[int]):
        self.elements, self.places = elements, array("q", places)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self.elements[i] for i in self.places[index]]
        return self.elements[self.places[index]]


class ImageInfos(Sequence):
    """`width`, `height` and, where there is one, `image_id` of many images, in a few bytes each."""

    def __init__(self) -> None:
        self._sides, self._ids = array("q"), {}

    def append(self, image: dict) -> None:
        """Add an image; sides that are not known are 0."""
        if "image_id" in image:
            self._ids[len(self)] = image["image_id"]
        self._sides.extend((image.get("width") or 0, image.get("height") or 0))

    def __len__(self) -> int:
        return len(self._sides) // 2

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        width, height = self._sides[2 * place : 2 * place + 2]
        info = {"width": width, "height": height}
        return info | {"image_id": self._ids[place]} if place in self._ids else info


def read_annotated_set(
    path: str | os.PathLike, dataset: str = "", dict_file: str | None = None, opts: Sequence[str] = ()
) -> AnnotatedSet:
    """A test set of a configuration (`.yaml`, `.yml`), or of json.

    Args:
        path: configuration; json, as tools/predict.py writes it and tools/build_dataset.py reads it, or with boxes as
            OpenPSG has it; or SGB's `eval_results.pytorch`, which holds the annotations too.
        dataset: name in the catalog; "": the first of DATASETS.TEST.
        dict_file: dictionary json with names and their numbers, for scene graphs and for SGB's file; None: numbers by
            the alphabet, and numbers as names.
        opts: configuration keys and values.

    Raises:
        InputError: a file that is missing or not as described.
    """
    if str(path).endswith((".yaml", ".yml")):
        return _of_catalog(path, dataset, opts)
    names = load_info(dict_file)[:2] if dict_file else None
    if str(path).endswith(SUFFIXES):
        return _of_eval_results(path, names)
    first = next(iter(stream_graphs(path, ("data",))), None)
    if first is None:
        raise InputError(f"{path} has no image")
    if isinstance(first[1], dict) and "objects" in first[1]:
        return _of_graphs(path, names)
    return _of_openpsg(path)


def _of_catalog(path: str | os.PathLike, dataset: str, opts: Sequence[str]) -> AnnotatedSet:
    # relation models are tested on the images with relations, as the catalog has it for MODEL.RELATION_ON
    cfg = load_config(str(path), [*opts, "MODEL.DEVICE", "cpu", "MODEL.RELATION_ON", True])
    dataset = dataset or (cfg.DATASETS.TEST[0] if cfg.DATASETS.TEST else "")
    if not dataset:
        raise InputError(f"{path} names no DATASETS.TEST; say which data set of the catalog counts with --dataset")
    args = load_catalog(cfg).DatasetCatalog.get(dataset, cfg)["args"]
    classes, predicates, _ = load_info(args["dict_file"])
    graphs = read_graphs(
        args["roidb_file"], args["split"], -1, args["num_val_im"], args["filter_empty_rels"],
        args["filter_non_overlap"] and args["split"] == "train",
    )  # fmt: skip
    filenames, img_info = load_image_filenames(args["img_dir"], args["image_file"])
    if len(filenames) != len(graphs.mask):
        raise InputError(f"{args['image_file']} lists {len(filenames)} images, but the h5 has {len(graphs.mask)}")
    chosen = np.flatnonzero(graphs.mask)
    return AnnotatedSet(
        name=dataset,
        split=args["split"],
        ind_to_classes=classes,
        ind_to_predicates=predicates,
        filenames=[filenames[i] for i in chosen],
        img_info=[img_info[i] for i in chosen],
        gt_boxes=RowsByImage(graphs.boxes, graphs.num_boxes),
        gt_classes=RowsByImage(graphs.labels, graphs.num_boxes),
        relationships=RowsByImage(graphs.relations, graphs.num_relations),
        scaled=True,
        cfg=cfg,
    )


def _of_graphs(path: str | os.PathLike, names: tuple[list[str], list[str]] | None) -> AnnotatedSet:
    """The json of scene graphs, see `conversion.annotations`."""
    annotated = _empty(path, *(names or ([_BACKGROUND], [_BACKGROUND])))
    notes = Notes()
    classes, predicates = (
        _Numbers(each, names is None) for each in (annotated.ind_to_classes, annotated.ind_to_predicates)
    )
    for file_name, graph in stream_graphs(path):
        with entry(path, f"image {file_name}"):
            objects = conform(graph, json_schemas.Graph, "its scene graph")["objects"]
            count, relations = len(objects), graph.get("relations", [])
            pairs = checked_places([(one["subject"], one["object"]) for one in relations], count, "")
            rows = np.column_stack((pairs[:, :2], [predicates[one["predicate"]] for one in relations]))
            boxes = checked_boxes([one["box"] for one in objects], count, "", notes, file_name)
            _add(annotated, file_name, graph, boxes, [classes[one["name"]] for one in objects], rows)
    if names is None:
        order = classes.by_the_alphabet(), predicates.by_the_alphabet()
        annotated.gt_classes.change(lambda labels: order[0][labels])
        annotated.relationships.change(lambda rows: np.column_stack((rows[:, :2], order[1][rows[:, 2]])))
        annotated.ind_to_classes, annotated.ind_to_predicates = classes.names, predicates.names
    annotated.notes = [f"annotation: {line}" for line in notes.lines()]
    return annotated


class _Numbers(dict):
    """Numbers of names; a new one gets the next number, where that is allowed."""

    def __init__(self, names: list[str], growing: bool):
        super().__init__({name: i for i, name in enumerate(names) if i})
        self.names, self.growing = list(names), growing

    def __missing__(self, name: str) -> int:
        if not self.growing:
            raise InputError(f"the dictionary has no {name!r}")
        self[name] = len(self.names)
        self.names.append(name)
        return len(self.names) - 1

    def by_the_alphabet(self) -> np.ndarray:
        """Sort the names; the new number of each old one."""
        order = [0, *sorted(range(1, len(self.names)), key=self.names.__getitem__)]
        self.names = [self.names[i] for i in order]
        return np.argsort(order)


def _of_openpsg(path: str | os.PathLike) -> AnnotatedSet:
    """OpenPSG's json with boxes: classes and predicates are numbered from 0, without background."""
    head: dict[str, Any] = {}
    for key, value in stream_json(path, ("data",)):
        if key != "data":
            head[key] = value
    if "predicate_classes" not in head or "thing_classes" not in head:
        raise InputError(
            f"{path} holds neither scene graphs by file name nor OpenPSG's data; docs/evaluation.md describes both"
        )
    conform({"stuff_classes": [], **head, "data": []}, json_schemas.Psg, f"data file {path}")
    classes = [*head["thing_classes"], *head.get("stuff_classes", [])]
    annotated = _empty(path, [_BACKGROUND, *classes], [_BACKGROUND, *head["predicate_classes"]])
    chosen = {str(one) for one in head["test_image_ids"]} if "test_image_ids" in head else None
    for key, image in stream_json(path, ("data",)):
        if key != "data":
            continue
        if isinstance(image, dict):
            image = {"file_name": str(image.get("image_id")), **image}
        conform(image, json_schemas.PsgImage, f"data file {path}, an image")
        if chosen is not None and str(image["image_id"]) not in chosen:
            continue
        with entry(path, f"image {image['image_id']}"):
            objects = image["annotations"]
            relations = checked_places(image["relations"], len(objects), "")
            for predicate in relations[:, 2].tolist():
                number(predicate, len(annotated.ind_to_predicates) - 1, "the predicate of a relation")
            relations[:, 2] += 1
            labels = [1 + number(one["category_id"], len(classes), "the category of an object") for one in objects]
            boxes = boxes_of([one["bbox"] for one in objects])
            _add(annotated, image["file_name"], image, boxes, labels, relations)
    return annotated


def _of_eval_results(path: str | os.PathLike, names: tuple[list[str], list[str]] | None) -> AnnotatedSet:
    if names is None:
        names = tuple([_BACKGROUND, *map(str, range(1, count))] for count in numbers_of(path))
    annotated = _empty(path, *names)
    for index, ((width, height), *arrays) in enumerate(annotations_of(path)):
        _add(annotated, str(index), {"width": width, "height": height}, *arrays)
    return annotated


def _empty(path: str | os.PathLike, classes: list[str], predicates: list[str]) -> AnnotatedSet:
    name = os.path.splitext(os.path.basename(path))[0]
    stored = StoredArrays(np.float32, 4), StoredArrays(np.int64), StoredArrays(np.int64, 3)
    return AnnotatedSet(name, "", list(classes), list(predicates), [], ImageInfos(), *stored)


def _add(annotated: AnnotatedSet, file_name: str, image: dict, boxes, labels, relations) -> None:
    annotated.filenames.append(file_name)
    annotated.img_info.append(image)
    annotated.gt_boxes.append(boxes)
    annotated.gt_classes.append(labels)
    annotated.relationships.append(relations)
