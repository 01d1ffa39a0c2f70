"""Scene graphs in three lines.

    from maskrcnn_benchmark.api import SceneGraphModel

    model = SceneGraphModel.from_pretrained("output/relclip-sgdet")
    graph = model("photo.jpg")
    graph.html("photo.html")

This module is what other programs should use; what it names stays. docs/api.md
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from maskrcnn_benchmark.data.datasets.images import as_picture
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.engine.calibrate_vocabulary import read_calibration
from maskrcnn_benchmark.engine.given_boxes import Given, given_boxes
from maskrcnn_benchmark.engine.inference import autocast
from maskrcnn_benchmark.engine.object_vocabulary import ObjectVocabulary
from maskrcnn_benchmark.engine.scene_predictor import (
    TASKS,
    ImageFiles,
    Prepared,
    Trained,
    for_task,
    open_trained,
    prepare,
    scored_names,
)
from maskrcnn_benchmark.modeling.language.vocabulary import VOCABULARY_FILE, Calibration
from maskrcnn_benchmark.scene_graph import Relation, SceneGraph, SceneObject, read_scene_graphs, scene_graph
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.utils.errors import InputError

__all__ = ["InputError", "Relation", "SceneGraph", "SceneGraphModel", "SceneObject", "read_scene_graphs"]

log = logging.getLogger("maskrcnn_benchmark")
ImageLike = str | os.PathLike | Image.Image | np.ndarray | Tensor
Finder = Callable[[int, tuple[int, int]], Given | None]


class SceneGraphModel:
    """A trained model that turns images into scene graphs.

    `from_pretrained` makes one. It is always in evaluation mode and never keeps gradients.

    Attributes:
        task: what it was trained for: `sgdet`, `sgcls`, `predcls` or `detection`.
        cfg: its configuration, frozen.
    """

    def __init__(self, trained: Trained, calibration: Calibration | None = None) -> None:
        self._trained = trained
        self.cfg = trained.cfg
        self.task = "detection"
        if self.cfg.MODEL.RELATION_ON:
            head = self.cfg.MODEL.ROI_RELATION_HEAD
            self.task = "predcls" if head.USE_GT_BOX and head.USE_GT_OBJECT_LABEL else "sgdet"
            if head.USE_GT_BOX and not head.USE_GT_OBJECT_LABEL:
                self.task = "sgcls"
        self._models = {self.task: trained.model}
        self._transforms = build_transforms(self.cfg, is_train=False)
        self._calibration = calibration
        self._predicates: list[str] | None = None
        self._objects: ObjectVocabulary | None = None

    @classmethod
    def from_pretrained(
        cls,
        source: str | os.PathLike,
        *,
        config_file: str | os.PathLike | None = None,
        dict_file: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        opts: Sequence = (),
    ) -> SceneGraphModel:
        """Load a model.

        Args:
            source: the folder of a training, a checkpoint, an exported folder, or `owner/name` of the hub.
            config_file: the configuration of the training, where it is not `config.yml` beside the checkpoint.
            dict_file: the names of classes and predicates, for checkpoints that hold none (those of SGB).
            device: `cpu`, `cuda`, `cuda:1`; a GPU where there is one by default.
            dtype: `float32`, `bfloat16` or `float16` (GPU only), for mixed precision.
            opts: further configuration keys and values, such as `["TEST.IMS_PER_BATCH", 16]`.

        Raises:
            InputError: files that are missing or do not fit each other.
        """
        device = str(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        options = ["MODEL.DEVICE", device, *opts]
        if dtype is not None:
            options += ["DTYPE", str(dtype).removeprefix("torch.")]
        trained = open_trained(source, config_file, dict_file, options)
        calibration = (Path(source) if Path(source).is_dir() else Path(source).parent) / VOCABULARY_FILE
        model = cls(trained, read_calibration(calibration) if calibration.is_file() else None)
        if model.cfg.DTYPE == "float16" and torch.device(model.cfg.MODEL.DEVICE).type != "cuda":
            raise InputError("float16 needs a GPU; take bfloat16 or float32 on the CPU")
        return model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return torch.device(self.cfg.MODEL.DEVICE)

    @property
    def classes(self) -> list[str]:
        """Names of the object classes that it tells apart, in the order of their numbers from 1 on."""
        return list(self._objects.names) if self._objects else self._trained.classes[1:]

    @property
    def predicates(self) -> list[str]:
        """Names of the predicates that it scores."""
        return list(self._predicates) if self._predicates is not None else scored_names(self._trained)[1:]

    def __repr__(self) -> str:
        return (
            f"SceneGraphModel(task={self.task!r}, {len(self.classes)} classes, {len(self.predicates)} predicates, "
            f"device={str(self.device)!r})"
        )

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike],
        boxes: Any = None,
        labels: Any = None,
        scores: Any = None,
    ) -> SceneGraph | list[SceneGraph]:
        """The scene graph of an image, or those of a list of images.

        Args:
            images: a path (turned as its EXIF data say), a PIL image, an array [H, W, 3] or [H, W], or a tensor
                [3, H, W]: RGB, of bytes, or of floats from 0 to 1. Or a list of these.
            boxes: of any detector, [n, 4] as x1, y1, x2, y2 in pixels of the image; for a list of images a list of
                those. Without them the model detects (SGDet).
            labels: class of each box, a name or a number from 1 on (SGCls without them, PredCls with them).
            scores: of each box, where there are labels; they count in the scores of relations. 1 without them.

        Returns:
            one graph, or a list of them. Objects are in the order of the boxes, where boxes were given.

        Raises:
            InputError: an image that cannot be read, boxes or labels that cannot be, or a model that was not trained
                for less than it is given.
        """
        alone = not isinstance(images, (list, tuple))
        each = [images] if alone else list(images)
        given = [[value] if alone or value is None else list(value) for value in (boxes, labels, scores)]
        given = [values * len(each) if values == [None] else values for values in given]
        for name, values in zip(("boxes", "labels", "scores"), given, strict=True):
            if len(values) != len(each):
                raise InputError(f"{len(each)} images, but {name} of {len(values)}; give them for each image")
        prepared = [self._prepare(*one) for one in zip(each, *given, strict=True)]
        graphs: list[SceneGraph] = []
        step = self.cfg.TEST.IMS_PER_BATCH
        for start in range(0, len(each), step):
            batch = slice(start, start + step)
            sources = [one if isinstance(one, (str, os.PathLike, Image.Image)) else None for one in each[batch]]
            graphs += self._predict(prepared[batch], sources)
        for one, graph in zip(each, graphs, strict=True):
            if graph.image is None:  # an array or a tensor; drawing wants a picture
                object.__setattr__(graph, "image", as_picture(one))
        return graphs[0] if alone else graphs

    def predict_files(
        self,
        files: Sequence[str | os.PathLike],
        find_boxes: Finder | None = None,
        workers: int | None = None,
    ) -> Iterator[tuple[int, SceneGraph | str]]:
        """The scene graphs of image files, one after the other, in constant memory.

        Args:
            find_boxes: from the place of a file and its (width, height) to boxes given for it. It is called in the
                processes that load images.
            workers: how many processes load images (default: DATALOADER.NUM_WORKERS).

        Yields:
            (place in `files`, graph), in the order of the files; for a file that cannot be read, the sentence that
            says what is wrong with it takes the place of the graph.
        """
        loader = DataLoader(
            ImageFiles(self.cfg, files, find_boxes),
            batch_size=self.cfg.TEST.IMS_PER_BATCH,
            num_workers=self.cfg.DATALOADER.NUM_WORKERS if workers is None else workers,
            collate_fn=list,
        )
        for batch in loader:
            read = [(place, one) for place, one in batch if isinstance(one, Prepared)]
            results: dict[int, SceneGraph | str] = {place: one for place, one in batch if isinstance(one, str)}
            graphs = self._predict([one for _, one in read], [files[place] for place, _ in read])
            results.update(zip((place for place, _ in read), graphs, strict=True))
            yield from sorted(results.items())

    def set_vocabulary(
        self, predicates: Sequence[str] | None = None, objects: Sequence[str] | None = None
    ) -> SceneGraphModel:
        """Choose the names that the model scores; what is None is as it was trained. Returns the model itself.

        Args:
            predicates: any words. Those of the training keep their scores; others are scored by their phrases, on the
                same scale (docs/api.md). Only for predictors that know phrases (RelCLIP).
            objects: any words, by which CLIP's image tower names the boxes. Context and frequency bias take them for
                the trained classes that are most like them.

        Raises:
            InputError: no names, a name twice, or a predictor that knows no phrases.
        """
        chosen = None if predicates is None else _distinct(predicates, "predicates")
        vocabulary = None
        if objects is not None:
            if self.task == "detection":
                raise InputError("set_vocabulary(objects=...) needs a relation model; this is a detector alone")
            vocabulary = ObjectVocabulary(_distinct(objects, "objects"), self._trained)
        for model in self._models.values():
            self._set_predicates(model, chosen)
        if chosen is not None and self._calibration is None:
            log.warning(
                "no %s in the run folder: predicates that training never showed are on no scale yet; "
                "tools/calibrate_vocabulary.py makes one", VOCABULARY_FILE
            )  # fmt: skip
        self._predicates, self._objects = chosen, vocabulary
        return self

    # -- inside ------------------------------------------------------------------------------------------------------
    def _set_predicates(self, model: torch.nn.Module, names: list[str] | None) -> None:
        if self.task != "detection":
            trained = scored_names(self._trained)
            own = None if trained is self._trained.predicates else trained[1:]
            model.roi_heads["relation"].set_predicates(own if names is None else names, self._calibration)
        elif names is not None:
            raise InputError("set_vocabulary(predicates=...) needs a relation model; this is a detector alone")

    def _model_for(self, task: str) -> torch.nn.Module:
        if task not in self._models:
            order = list(TASKS)
            if self.task not in TASKS or order.index(task) < order.index(self.task):
                needed = {"sgcls": "boxes", "predcls": "boxes and labels"}.get(self.task)
                raise InputError(
                    f"this model was trained for {self.task}"
                    + (f": give {needed}, or take one that was trained for {task}" if needed else " and takes no boxes")
                )
            model = for_task(self._trained, task)
            self._set_predicates(model, self._predicates)
            self._models[task] = model
        return self._models[task]

    def _prepare(self, image: ImageLike, boxes: Any, labels: Any, scores: Any) -> Prepared:
        if isinstance(image, (str, os.PathLike)):

            def find(_: int, size: tuple[int, int]) -> Given | None:
                return given_boxes(size, self.classes, boxes, labels, scores)

            _, prepared = ImageFiles(self.cfg, [image], find)[0]
            if isinstance(prepared, str):
                raise InputError(prepared)
            return prepared
        picture = as_picture(image)
        given = given_boxes(picture.size, self.classes, boxes, labels, scores)
        return prepare(picture, picture.size, given, self._transforms)

    def _predict(self, batch: Sequence[Prepared], sources: Sequence[Any]) -> list[SceneGraph]:
        """Graphs of prepared images, those of one task together."""
        graphs: list[SceneGraph | None] = [None] * len(batch)
        tasks: dict[str, list[int]] = {}
        for place, one in enumerate(batch):
            task = self.task if self.task == "detection" and one.given is None else "sgdet"
            if one.given is not None:
                task = "sgcls" if one.given.labels is None else "predcls"
            self._model_for(task)  # says what is missing, also where there is nothing to predict
            if one.given is not None and len(one.given.boxes) == 0:
                graphs[place] = SceneGraph(*one.size, [], [], sources[place])
            else:
                tasks.setdefault(task, []).append(place)
        names = (
            self._trained.classes,
            [self._trained.predicates[0] if self._trained.predicates else "", *self.predicates],
        )
        for task, places in tasks.items():
            some = [batch[place] for place in places]
            if self._objects is None:
                predictions = self._run(self._model_for(task), some)
            else:
                predictions, names = (
                    self._objects.predict(self._model_for, self._run, task, some),
                    (["", *self._objects.names], names[1]),
                )
            for place, one, prediction in zip(places, some, predictions, strict=True):
                prediction = prediction.resize(one.size)
                graphs[place] = scene_graph(prediction, *names, sources[place], given_order=one.given is not None)
        return [graph for graph in graphs if graph is not None]

    def _run(self, model: torch.nn.Module, batch: Sequence[Prepared]) -> list[BoxList]:
        """Predictions, on the CPU, in pixels of the resized images."""
        images = to_image_list([one.pixels for one in batch], self.cfg.DATALOADER.SIZE_DIVISIBILITY).to(self.device)
        targets = None if batch[0].target is None else [one.target.to(self.device) for one in batch]
        with torch.inference_mode(), autocast(self.device, self.cfg.DTYPE):
            predictions = [prediction.to("cpu") for prediction in model(images, targets)]
        for one, prediction in zip(batch, predictions, strict=True):
            if one.given is not None and one.given.scores is not None:
                prediction.add_field("pred_scores", one.given.scores)
        return predictions


def _distinct(names: Sequence[str], what: str) -> list[str]:
    if isinstance(names, str):
        raise InputError(f"{what} must be a list of names, found one: {names!r}")
    names = [" ".join(str(name).split()) for name in names]
    if not names or not all(names):
        raise InputError(f"{what} must be names, at least one, none of them empty")
    count = Counter(name.lower() for name in names)
    for name in names:
        if count[name.lower()] > 1:
            raise InputError(f"{what} has {name!r} twice")
    return names
