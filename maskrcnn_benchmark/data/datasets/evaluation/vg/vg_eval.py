"""Evaluates scene graphs and detections as a stream: each prediction becomes a few small numbers and is dropped."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable

import numpy as np
import torch

from maskrcnn_benchmark.sgb_compat import (  # noqa: F401  (SGB's users find them here)
    convert_relation_matrix_to_triplets,
    evaluate_relation_of_one_image,
)
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import InputError

from .detection_ap import DetectionMeanAP
from .graph_evaluator import GraphEvaluator, collect_metrics, finish_metrics, make_metrics  # noqa: F401  (SGB's place)
from .graph_sample import graph_of_image, sample_indices
from .image_ranks import AnnotatedGraph, PredictedGraph, rank_graph, same_objects, with_given_objects
from .predicates import novel_predicates
from .protocol import PROTOCOLS, protocol_of
from .ranks import object_agreement
from .saved_output import save_output  # noqa: F401  (SGB's users find it here)
from .summary import relation_summary, write_evaluation, write_json, write_relation_files
from .zero_shot import check_zero_shot_file, load_zero_shot

_RULE = "=" * 100 + "\n"


def task_of(cfg) -> str:
    """`predcls`, `sgcls` or `sgdet`, as MODEL.ROI_RELATION_HEAD says."""
    head = cfg.MODEL.ROI_RELATION_HEAD
    if not head.USE_GT_BOX:
        return "sgdet"
    return "predcls" if head.USE_GT_OBJECT_LABEL else "sgcls"


def check_evaluation(cfg) -> None:
    """Raise `InputError` where TEST.RELATION cannot work; trainings ask before they start, not when they test."""
    deepest, first = protocol_of(cfg).max_k, cfg.TEST.RELATION.FIRST_TRIPLETS
    if 0 < first < deepest:
        raise InputError(
            f"TEST.RELATION.FIRST_TRIPLETS is {first}, but recalls look at the first {deepest}; set it to at least "
            f"{deepest}, or to 0 for every pair"
        )
    check_zero_shot_file(cfg.TEST.RELATION.ZERO_SHOT_TRIPLETS)


def pairs_needed(cfg, dataset) -> int | None:
    """How many of an image's pairs the evaluation looks at, best first; None: all of them.

    In PredCls and SGCls the pair accuracy (and a relation NMS) may look at any pair. In SGDet nothing looks further
    down than the largest k, or than the largest number of relations that an image of `dataset` has (relative recall);
    without graph constraint too, where the pairs come in the order of their best relation's score.
    """
    if task_of(cfg) != "sgdet":
        return None
    return max(protocol_of(cfg).max_k, *(len(relations) for relations in dataset.relationships))


def do_vg_evaluation(
    cfg,
    dataset,
    predictions: Iterable[BoxList | tuple[int, BoxList]],
    output_folder: str | None,
    logger: logging.Logger,
    iou_types: tuple[str, ...],
    dataset_name: str = "",
) -> float:
    """Evaluate predictions as they come; docs/evaluation.md describes the metrics and the files.

    Args:
        predictions: BoxLists in the order of the data set, or (index, BoxList) in any order; consumed lazily. Their
            fields are `pred_labels` and `pred_scores` and, for relations, `rel_pair_idxs` [P, 2] and `pred_rel_scores`
            [P, R], best pair first. Boxes may be in any scale, `size` says which.
        output_folder: gets the files that docs/evaluation.md lists; "" or None: nothing is written.
        iou_types: `bbox` for mAP, `relations` for the recalls.
        dataset_name: for the json.

    Returns:
        R@100 with `relations`, else mAP.

    Raises:
        InputError: a protocol or a zero-shot file that is wrong, or scores that are no numbers.
        ValueError: the same image twice.
    """
    evaluator = VGEvaluator(cfg, dataset, iou_types)
    for position, item in enumerate(predictions):
        index, prediction = item if isinstance(item, tuple) else (position, item)
        evaluator.update(index, prediction)
    evaluator.compute()
    logger.info(evaluator.text())
    if output_folder:
        evaluator.save(output_folder, dataset_name or f"{type(dataset).__name__}_{dataset.split}")
    return evaluator.value()


class VGEvaluator:
    """All metrics over a stream of predictions: `update` with each image, then `compute`.

    An image costs a few bytes per detection, and what SGB's dictionary lists of it, so memory does not grow with the
    size of the predictions.

    Args:
        cfg: MODEL.ROI_RELATION_HEAD (task, number of predicates) and TEST.RELATION are read.
        dataset: a `VGDataset` of the evaluated split.
        iou_types: `bbox`, `relations`, or both.
    """

    def __init__(self, cfg, dataset, iou_types: tuple[str, ...]):
        self.dataset = dataset
        self.mode = task_of(cfg)
        check_evaluation(cfg)
        self.detection = DetectionMeanAP(len(dataset.ind_to_classes)) if "bbox" in iou_types else None
        self.graphs: GraphEvaluator | None = None
        self.found: dict[str, float] = {}
        self._seen: set[int] = set()
        self._sampled = set(sample_indices(len(dataset)))
        self._samples: dict[int, dict] = {}  # the graphs of the sampled images
        if "relations" in iou_types:
            novel = cfg.TEST.RELATION.NOVEL_PREDICATES
            novel = novel_predicates(novel, dataset.ind_to_predicates, "TEST.RELATION.NOVEL_PREDICATES")
            first, deepest = cfg.TEST.RELATION.FIRST_TRIPLETS, pairs_needed(cfg, dataset)
            if deepest is not None and 0 < first < deepest:
                logging.getLogger("maskrcnn_benchmark").warning(
                    "an image has %d annotated relations, but TEST.RELATION.FIRST_TRIPLETS is %d: its relative recall "
                    "looks at no more", deepest, first,
                )  # fmt: skip
            self.graphs = GraphEvaluator(protocol_of(cfg), self.mode, dataset, load_zero_shot(cfg, dataset), novel)
            if cfg.TEST.RELATION.MULTIPLE_PREDS:
                logging.getLogger("maskrcnn_benchmark").info(
                    "TEST.RELATION.MULTIPLE_PREDS changes nothing: recalls with and without graph constraint are "
                    "always both computed"
                )

    @property
    def result_dict(self) -> dict:
        """SGB's dictionary of results."""
        return self.graphs.result_dict if self.graphs else {}

    def update(self, index: int, prediction: BoxList) -> None:
        """Add the prediction for the image number `index` of the data set."""
        if index in self._seen:
            raise ValueError(f"image {index} was predicted twice; evaluation counts every image once")
        self._seen.add(index)
        info = self.dataset.get_img_info(index)
        prediction = prediction.resize((info["width"], info["height"])).convert("xyxy")
        truth = annotated_graph(self.dataset.get_groundtruth(index, evaluation=True))
        if self.detection is not None:
            self._update_detection(index, truth, prediction)
        if self.graphs:
            predicted = predicted_graph(prediction)
            try:
                self.graphs.update(index, truth, predicted)
            except InputError as error:
                raise InputError(f"prediction for image {self.dataset.filenames[index]}: {error}") from error
            if index in self._sampled:
                self._samples[index] = self._graph(index, truth, predicted)

    def _graph(self, index: int, truth: AnnotatedGraph, prediction: PredictedGraph) -> dict:
        protocol = self.graphs.protocol
        found = with_given_objects(truth, prediction, self.mode)
        return graph_of_image(
            self.dataset,
            index,
            (truth.boxes, truth.classes, truth.counted(protocol)),
            (found.boxes, found.classes, found.relations, found.rel_scores),
            object_agreement(
                found.boxes, found.classes, truth.boxes, truth.classes, protocol.iou_threshold, protocol.inclusive_boxes
            ),
            all_boxes=same_objects(truth, prediction, self.mode),
        )

    def _update_detection(self, index: int, truth: AnnotatedGraph, prediction: BoxList) -> None:
        labels, scores = _array(prediction, "pred_labels"), _array(prediction, "pred_scores")
        if self.graphs and self.mode == "predcls" and prediction.has_field("labels"):
            labels, scores = _array(prediction, "labels"), np.ones(len(prediction))
        self.detection.update(index, _boxes(prediction), scores, labels, truth.boxes, truth.classes)

    def compute(self) -> dict[str, float]:
        """All metrics of the images so far: `R@20`, `ng-R@20`, ..., `mAP`, as fractions, nan without any value."""
        self.found = {} if self.detection is None else {"mAP": self.detection.compute()}
        if self.graphs:
            self.found |= self.graphs.compute()
        return self.found

    def value(self) -> float:
        """After `compute`: what the learning-rate schedule follows: R@100 (the largest k), or mAP without relations."""
        return self.found[f"R@{self.graphs.protocol.max_k}" if self.graphs else "mAP"]

    def text(self) -> str:
        """After `compute`: SGB's lines, below the protocol."""
        text = "\n" + _RULE
        if self.detection is not None:
            text += f"Detection evaluation mAp={self.found['mAP']:.4f}\n" + _RULE
        if self.graphs:
            name, counted = self.graphs.protocol.name, len(self.graphs.table)
            text += f"protocol={name}, {len(self._seen)} images, {counted} of them evaluated\n"
            text += self.graphs.text() + _RULE
        return text

    def save(self, folder: str, dataset_name: str) -> None:
        """Write what `compute` found, and what it was measured on; docs/evaluation.md lists the files."""
        os.makedirs(folder, exist_ok=True)
        summary = {}
        if self.graphs:
            summary = relation_summary(self.graphs)
            write_relation_files(self.graphs, folder)
            samples = [self._samples[index] for index in sorted(self._samples)]
            write_json(os.path.join(folder, "graphs.json"), samples)
        write_evaluation(folder, dataset_name, self.dataset, len(self._seen), self.found, summary)


# -- one image -------------------------------------------------------------------------------------------------------
def annotated_graph(groundtruth: BoxList) -> AnnotatedGraph:
    """The arrays of a ground truth with `labels` and `relation_tuple` [G, 3]."""
    relations = np.asarray(groundtruth.get_field("relation_tuple"), dtype=np.int64).reshape(-1, 3)
    return AnnotatedGraph(_boxes(groundtruth), _array(groundtruth, "labels"), relations)


def predicted_graph(prediction: BoxList) -> PredictedGraph:
    """The arrays of a prediction, see `do_vg_evaluation`."""
    return PredictedGraph(
        _boxes(prediction),
        *(_array(prediction, name) for name in ("pred_labels", "pred_scores")),
        _array(prediction, "rel_pair_idxs").reshape(-1, 2),
        _array(prediction, "pred_rel_scores"),
    )


def rank_image(
    groundtruth: BoxList, prediction: BoxList, mode: str, iou_threshold: float, distinct: bool = False
) -> dict[str, np.ndarray] | None:
    """`rank_graph` of BoxLists in the same scale, as SGB counts; with `distinct` equal triplets count once."""
    protocol = PROTOCOLS["visualds" if distinct else "sgb"].with_fields(iou_threshold=iou_threshold)
    return rank_graph(annotated_graph(groundtruth), predicted_graph(prediction), mode, protocol)


def _array(boxes: BoxList, field: str) -> np.ndarray:
    values = torch.as_tensor(boxes.get_field(field)).detach().cpu()
    return (values.float() if values.is_floating_point() else values.long()).numpy()


def _boxes(boxes: BoxList) -> np.ndarray:
    return boxes.convert("xyxy").bbox.detach().cpu().float().numpy()
