"""Evaluates scene graphs and detections as a stream: each prediction becomes a few small numbers and is dropped."""

from __future__ import annotations

import json
import logging
import math
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
from maskrcnn_benchmark.utils.files import atomic_write

from .detection_ap import DetectionMeanAP
from .graph_sample import graph_of_image, sample_indices
from .ranks import TOP_K, contains_triplets, grouped_mean, hits_at, mean, object_agreement, rank_relations
from .saved_output import save_output  # noqa: F401  (SGB's users find it here)
from .sgg_eval import (
    SceneGraphEvaluation,
    SGAccumulateRecall,
    SGMeanRecall,
    SGNGMeanRecall,
    SGNGZeroShotRecall,
    SGNoGraphConstraintRecall,
    SGPairAccuracy,
    SGRecall,
    SGZeroShotRecall,
)
from .test_set import annotation_fingerprint, triplet_fingerprint
from .zero_shot import KINDS, check_zero_shot_file, distinct_triplets, load_zero_shot

PROTOCOLS = ("sgb", "visualds")
_RULE = "=" * 100 + "\n"
_RANKS = ("rank", "nogc_rank", "pair_rank")


def task_of(cfg) -> str:
    """`predcls`, `sgcls` or `sgdet`, as MODEL.ROI_RELATION_HEAD says."""
    head = cfg.MODEL.ROI_RELATION_HEAD
    if not head.USE_GT_BOX:
        return "sgdet"
    return "predcls" if head.USE_GT_OBJECT_LABEL else "sgcls"


def check_evaluation(cfg) -> None:
    """Raise `InputError` where TEST.RELATION cannot work; trainings ask before they start, not when they test."""
    relation = cfg.TEST.RELATION
    if relation.PROTOCOL not in PROTOCOLS:
        raise InputError(f"TEST.RELATION.PROTOCOL is {relation.PROTOCOL}; it must be one of {', '.join(PROTOCOLS)}")
    if 0 < relation.FIRST_TRIPLETS < max(TOP_K):
        raise InputError(
            f"TEST.RELATION.FIRST_TRIPLETS is {relation.FIRST_TRIPLETS}, but recalls look at the first {max(TOP_K)}; "
            f"set it to at least {max(TOP_K)}, or to 0 for every pair"
        )
    check_zero_shot_file(relation.ZERO_SHOT_TRIPLETS)


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
        output_folder: gets `result_dict.pytorch` (SGB's) and `evaluation.json`; "" or None: nothing is written.
        iou_types: `bbox` for mAP, `relations` for the recalls.
        dataset_name: for the json.

    Returns:
        R@100 with `relations`, else mAP.

    Raises:
        InputError: a protocol or a zero-shot file that is wrong.
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

    An image costs a row of small integers per annotated relation and a few bytes per detection, so memory does not
    grow with the size of the predictions.

    Args:
        cfg: MODEL.ROI_RELATION_HEAD (task, number of predicates) and TEST.RELATION are read.
        dataset: a `VGDataset` of the evaluated split.
        iou_types: `bbox`, `relations`, or both.
    """

    def __init__(self, cfg, dataset, iou_types: tuple[str, ...]):
        self.dataset = dataset
        self.mode = task_of(cfg)
        self.iou_threshold = cfg.TEST.RELATION.IOU_THRESHOLD
        check_evaluation(cfg)
        self.protocol = cfg.TEST.RELATION.PROTOCOL
        self.detection = DetectionMeanAP(len(dataset.ind_to_classes)) if "bbox" in iou_types else None
        self.with_relations = "relations" in iou_types
        self.labels_are_given = self.with_relations and self.mode == "predcls"
        self.result_dict: dict = {}
        self.found: dict[str, float] = {}
        self._seen: set[int] = set()
        self._rows: dict[int, np.ndarray] = {}  # image -> int32 [G, 6]: triplet of classes, three ranks
        if self.with_relations:
            self._sampled = set(sample_indices(len(dataset)))
            self._graphs: dict[int, dict] = {}  # the graphs of the sampled images
            self.zero_shot = load_zero_shot(cfg, dataset)
            self.metrics = make_metrics(self.result_dict, self.mode, len(dataset.ind_to_predicates), dataset)
            if cfg.TEST.RELATION.MULTIPLE_PREDS:
                logging.getLogger("maskrcnn_benchmark").info(
                    "TEST.RELATION.MULTIPLE_PREDS changes nothing: recalls with and without graph constraint are "
                    "always both computed"
                )

    def update(self, index: int, prediction: BoxList) -> None:
        """Add the prediction for the image number `index` of the data set."""
        if index in self._seen:
            raise ValueError(f"image {index} was predicted twice; evaluation counts every image once")
        self._seen.add(index)
        info = self.dataset.get_img_info(index)
        prediction = prediction.resize((info["width"], info["height"])).convert("xyxy")
        groundtruth = self.dataset.get_groundtruth(index, evaluation=True)
        if self.detection is not None:
            self._update_detection(index, groundtruth, prediction)
        if self.with_relations:
            ranks = rank_image(groundtruth, prediction, self.mode, self.iou_threshold, self.protocol == "visualds")
            if ranks is not None:
                columns = (ranks["gt_triplets"], *(ranks[name] for name in _RANKS))
                self._rows[index] = np.column_stack(columns).astype(np.int32)
            if index in self._sampled:
                self._graphs[index] = self._graph(index, groundtruth, prediction)

    def _graph(self, index: int, groundtruth: BoxList, prediction: BoxList) -> dict:
        boxes, classes, _, same_boxes = predicted_objects(groundtruth, prediction, self.mode)
        gt_boxes, gt_classes = _boxes(groundtruth), _array(groundtruth, "labels")
        return graph_of_image(
            self.dataset,
            index,
            (gt_boxes, gt_classes, annotated_relations(groundtruth, self.protocol == "visualds")),
            (boxes, classes, _array(prediction, "rel_pair_idxs").reshape(-1, 2), _array(prediction, "pred_rel_scores")),
            object_agreement(boxes, classes, gt_boxes, gt_classes, self.iou_threshold),
            all_boxes=same_boxes,
        )

    def _update_detection(self, index: int, groundtruth: BoxList, prediction: BoxList) -> None:
        labels, scores = _array(prediction, "pred_labels"), _array(prediction, "pred_scores")
        if self.labels_are_given and prediction.has_field("labels"):
            labels, scores = _array(prediction, "labels"), np.ones(len(prediction))
        gt_labels = _array(groundtruth, "labels")
        self.detection.update(index, _boxes(prediction), scores, labels, _boxes(groundtruth), gt_labels)

    def compute(self) -> dict[str, float]:
        """All metrics of the images so far: `R@20`, `ng-R@20`, ..., `mAP`, as fractions, nan without any value."""
        found = self.found = {}
        if self.detection is not None:
            found["mAP"] = self.detection.compute()
        if not self.with_relations:
            return found
        for metric in self.metrics.values():
            metric.register_container(self.mode)
        ranks = self._table()
        if len(ranks["image"]):
            collect_metrics(self.metrics, {"zeroshot_triplet": self.zero_shot.triplets}, ranks, self.mode)
        finish_metrics(self.metrics, self.mode)
        for metric in self.metrics.values():
            found |= {f"{metric.label.strip()}@{k}": value for k, value in metric.values(self.mode).items()}
        for kind, counted in self.zero_shot.kinds(ranks["gt_triplets"]).items():
            for prefix, name in (("zR", "rank"), ("ng-zR", "nogc_rank")):
                _, recalls = grouped_mean(hits_at(ranks[name][counted]), ranks["image"][counted])
                found |= {f"{prefix}-{kind}@{k}": mean(r) for k, r in zip(TOP_K, recalls.T, strict=True)}
        return found

    def _table(self) -> dict[str, np.ndarray]:
        """The ranks of all images, in the order of the data set, as SceneGraphEvaluation takes them."""
        images = sorted(self._rows)
        rows = np.concatenate([np.zeros((0, 6), dtype=np.int32), *(self._rows[i] for i in images)])
        return {
            "gt_triplets": rows[:, :3],
            "image": np.repeat(np.asarray(images, dtype=np.int64), [len(self._rows[i]) for i in images]),
            **dict(zip(_RANKS, rows[:, 3:].T, strict=True)),
        }

    def value(self) -> float:
        """After `compute`: what the learning-rate schedule follows: R@100, or mAP without relations."""
        return self.found["R@100" if self.with_relations else "mAP"]

    def text(self) -> str:
        """After `compute`: SGB's lines, below the name of the protocol."""
        text = "\n" + _RULE
        if self.detection is not None:
            text += f"Detection evaluation mAp={self.found['mAP']:.4f}\n" + _RULE
        if self.with_relations:
            text += f"protocol={self.protocol}, {len(self._seen)} images, {len(self._rows)} of them evaluated\n"
            text += "".join(metric.generate_print_string(self.mode) for metric in self.metrics.values()) + _RULE
        return text

    def save(self, folder: str, dataset_name: str) -> None:
        """Write what `compute` found, and what it was measured on; docs/evaluation.md lists the files."""
        os.makedirs(folder, exist_ok=True)
        summary = {
            "dataset": dataset_name,
            "task": self.mode if self.with_relations else "detection",
            "protocol": self.protocol,
            "iou_threshold": self.iou_threshold,
            "num_images": len(self._seen),
            "test_set": annotation_fingerprint(self.dataset),
            "metrics": {name: None if math.isnan(value) else value for name, value in self.found.items()},
        }
        if self.with_relations:
            with atomic_write(os.path.join(folder, "result_dict.pytorch")) as path:
                torch.save(self.result_dict, path)
            summary["num_images_evaluated"] = len(self._rows)
            names = self.dataset.ind_to_predicates[1:]
            summary["recall_by_predicate"] = {
                f"{metric.label.strip()}@{k}": dict(zip(names, values, strict=True))
                for metric in self.metrics.values()
                if isinstance(metric, SGMeanRecall)
                for k, values in self.result_dict[f"{self.mode}{metric.container}_list"].items()
            }
            annotated = distinct_triplets(self.dataset.gt_classes, self.dataset.relationships)
            kinds = {kind: annotated[chosen] for kind, chosen in self.zero_shot.kinds(annotated).items()}
            zero_shot = annotated[contains_triplets(annotated, self.zero_shot.triplets)]
            summary["zero_shot"] = triplet_fingerprint(zero_shot)
            summary["zero_shot_kinds"] = triplet_fingerprint(*(kinds[kind] for kind in KINDS)) if kinds else None
            if self.zero_shot.training is not None:
                counts = self.zero_shot.training.by_predicate(len(names) + 1)[1:]
                summary["training_frequency"] = dict(zip(names, counts.tolist(), strict=True))
            files = {
                "zero_shot_triplets.json": self.zero_shot.triplets.tolist(),
                "graphs.json": [self._graphs[index] for index in sorted(self._graphs)],
            }
            if kinds:
                files["zero_shot_kinds.json"] = {kind: triplets.tolist() for kind, triplets in kinds.items()}
            for name, content in files.items():
                with atomic_write(os.path.join(folder, name)) as path:
                    path.write_text(json.dumps(content))
        with atomic_write(os.path.join(folder, "evaluation.json")) as path:
            path.write_text(json.dumps(summary, indent=1))


# -- one image -------------------------------------------------------------------------------------------------------
def rank_image(
    groundtruth: BoxList, prediction: BoxList, mode: str, iou_threshold: float, distinct: bool = False
) -> dict[str, np.ndarray] | None:
    """The ranks of an image's annotated relations.

    Args:
        groundtruth: with `labels` and `relation_tuple` [G, 3].
        prediction: in the same scale, see `do_vg_evaluation`.
        mode: `predcls`, `sgcls` or `sgdet`.
        distinct: count equal (subject, object, predicate) once.

    Returns:
        `gt_triplets` [G, 3] of classes, and the ranks of `rank_relations`; None for an image that SGB skips: without
        annotated relations, or without predicted pairs.
    """
    relations = annotated_relations(groundtruth, distinct)
    pairs = _array(prediction, "rel_pair_idxs").reshape(-1, 2)
    if not len(relations) or not len(pairs):
        return None
    gt_boxes, gt_classes = _boxes(groundtruth), _array(groundtruth, "labels")
    boxes, classes, scores, same_boxes = predicted_objects(groundtruth, prediction, mode)
    if mode != "sgdet" and not same_boxes:
        logging.getLogger("maskrcnn_benchmark").warning(
            "%d boxes predicted where %d are annotated, in the task %s: they are matched by overlap, and the image has "
            "no pair accuracy", len(prediction), len(groundtruth), mode,
        )  # fmt: skip
    agreement = object_agreement(boxes, classes, gt_boxes, gt_classes, iou_threshold)
    ranks = rank_relations(
        relations, pairs, _array(prediction, "pred_rel_scores"), scores, agreement, same_boxes=same_boxes
    )
    triplets = np.column_stack((gt_classes[relations[:, 0]], gt_classes[relations[:, 1]], relations[:, 2]))
    return {"gt_triplets": triplets, **ranks}


def annotated_relations(groundtruth: BoxList, distinct: bool) -> np.ndarray:
    """(subject, object, predicate) of an image, int64 [G, 3]; with `distinct` equal ones once."""
    relations = np.asarray(groundtruth.get_field("relation_tuple"), dtype=np.int64).reshape(-1, 3)
    return np.unique(relations, axis=0) if distinct else relations


def predicted_objects(
    groundtruth: BoxList, prediction: BoxList, mode: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
    """What counts as predicted objects in the task `mode`: in PredCls the annotated ones.

    Returns:
        boxes [N, 4], classes int [N], scores [N], and whether the boxes are the annotated ones in their order.
    """
    same_boxes = mode != "sgdet" and len(prediction) == len(groundtruth)
    if mode == "predcls" and same_boxes:
        return _boxes(groundtruth), _array(groundtruth, "labels"), np.ones(len(groundtruth)), True
    return _boxes(prediction), _array(prediction, "pred_labels"), _array(prediction, "pred_scores"), same_boxes


# -- the metrics together --------------------------------------------------------------------------------------------
def make_metrics(result_dict: dict, mode: str, num_rel: int, dataset) -> dict[str, SceneGraphEvaluation]:
    """SGB's metrics, under its names and in the order of its log; pair accuracy where the boxes are given."""
    names = dataset.ind_to_predicates
    metrics: dict[str, SceneGraphEvaluation] = {
        "eval_recall": SGRecall(result_dict),
        "eval_nog_recall": SGNoGraphConstraintRecall(result_dict),
        "eval_zeroshot_recall": SGZeroShotRecall(result_dict),
        "eval_ng_zeroshot_recall": SGNGZeroShotRecall(result_dict),
        "eval_mean_recall": SGMeanRecall(result_dict, num_rel, names, print_detail=True),
        "eval_ng_mean_recall": SGNGMeanRecall(result_dict, num_rel, names, print_detail=True),
        "eval_accumulate_recall": SGAccumulateRecall(result_dict),
    }
    if mode != "sgdet":
        metrics["eval_pair_accuracy"] = SGPairAccuracy(result_dict)
    for metric in metrics.values():
        metric.register_container(mode)
    return metrics


def collect_metrics(
    metrics: dict[str, SceneGraphEvaluation], global_container: dict, local_container: dict, mode: str
) -> None:
    """Give the ranks of one or many images to every metric."""
    for metric in metrics.values():
        if isinstance(metric, SGMeanRecall):
            metric.collect_mean_recall_items(global_container, local_container, mode)
            continue
        if isinstance(metric, SGZeroShotRecall):
            metric.prepare_zeroshot(global_container, local_container)
        metric.calculate_recall(global_container, local_container, mode)


def finish_metrics(metrics: dict[str, SceneGraphEvaluation], mode: str) -> None:
    """Take the averages that need all images."""
    for metric in metrics.values():
        if isinstance(metric, SGMeanRecall):
            metric.calculate_mean_recall(mode)
        elif isinstance(metric, SGAccumulateRecall):
            metric.calculate_accumulate(mode)


def _array(boxes: BoxList, field: str) -> np.ndarray:
    values = torch.as_tensor(boxes.get_field(field)).detach().cpu()
    return (values.float() if values.is_floating_point() else values.long()).numpy()


def _boxes(boxes: BoxList) -> np.ndarray:
    return boxes.convert("xyxy").bbox.detach().cpu().float().numpy()
