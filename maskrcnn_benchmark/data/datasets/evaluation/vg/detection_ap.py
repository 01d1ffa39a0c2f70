"""Mean average precision of detections, by pycocotools, one image at a time."""

from __future__ import annotations

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

MAX_DETECTIONS = 100  # per image and class
_RECALLS = np.linspace(0, 1, 101)


def match_detections(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    gt_boxes: np.ndarray,
    gt_labels: np.ndarray,
    iou_threshold: float = 0.5,
    first_id: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """COCO's matching in one image: best detections first, each takes the free object of its class that it fits best.

    Args:
        boxes, gt_boxes: [D, 4] and [M, 4], xyxy in pixels, inclusive corners.
        scores: [D].
        labels, gt_labels: int [D] and [M].
        first_id: number of the first annotated object. pycocotools takes an object with the number 0 for no object.

    Returns:
        labels, scores and whether an object was found, of the detections that count, [C] each.
    """
    # Every class stands as an image of its own with a single category: evaluate() then looks at no empty class.
    annotations, detections = COCO(), COCO()
    groups = np.unique(np.concatenate((labels, gt_labels))).tolist()
    images = [{"id": group} for group in groups]
    for coco, coco_boxes, coco_labels, coco_scores, start in (
        (annotations, gt_boxes, gt_labels, np.ones(len(gt_boxes)), first_id),
        (detections, boxes, labels, scores, 1),
    ):
        sizes = coco_boxes[:, 2:] - coco_boxes[:, :2] + 1
        rows = np.column_stack((coco_boxes[:, :2], sizes)).tolist()
        coco.dataset = {
            "images": images,
            "categories": [{"id": 1}],
            "annotations": [
                {"id": i, "image_id": c, "category_id": 1, "bbox": b, "area": b[2] * b[3], "score": s, "iscrowd": 0}
                for i, (c, b, s) in enumerate(zip(coco_labels.tolist(), rows, coco_scores.tolist(), strict=True), start)
            ],
        }
    with contextlib.redirect_stdout(io.StringIO()):
        annotations.createIndex()
        detections.createIndex()
        evaluation = COCOeval(annotations, detections, "bbox")
        evaluation.params.iouThrs = np.array([iou_threshold])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
    found = [e for e in evaluation.evalImgs if e is not None and e["dtScores"]]
    groups = np.repeat([e["image_id"] for e in found], [len(e["dtScores"]) for e in found]).astype(np.int32)
    found_scores, matched, ignored = (
        np.concatenate([np.zeros(0), *(np.reshape(e[key], -1) for e in found)])
        for key in ("dtScores", "dtMatches", "dtIgnore")
    )
    counts = ignored == 0  # COCO passes over boxes of negative area
    return groups[counts], found_scores[counts], matched[counts] > 0


def average_precision(scores: np.ndarray, matched: np.ndarray, num_objects: int) -> float:
    """COCO's average precision: precision at 101 recalls, each the best at that recall or a higher one.

    Args:
        scores: [C], of all images, in order of the images.
        matched: bool [C], whether the detection found an object.
        num_objects: annotated objects, at least one.

    >>> round(average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2), 4)
    0.835
    """
    hits = matched[np.argsort(-scores, kind="stable")].cumsum()
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    place = np.searchsorted(hits / num_objects, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[place].mean())


class DetectionMeanAP:
    """Mean over classes of the average precision at one IoU (COCO's `AP50`), from a stream of images.

    A detection is kept as a few bytes (class, score, found or not), never as a box.
    """

    def __init__(self, num_classes: int, iou_threshold: float = 0.5):
        self.iou_threshold = iou_threshold
        self._matches: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._objects = np.zeros(num_classes, dtype=np.int64)

    def update(self, index: int, boxes, scores, labels, gt_boxes, gt_labels) -> None:
        """Add the image number `index`; images may come in any order, each once. See `match_detections`."""
        self._objects += np.bincount(gt_labels, minlength=len(self._objects))
        # SGB numbers the objects of a data set from 0, so that its first one is never found; its numbers are kept.
        first_id = 0 if index == 0 else 1
        label, score, matched = match_detections(
            boxes, scores, labels, gt_boxes, gt_labels, self.iou_threshold, first_id
        )
        self._matches[index] = label, score.astype(np.float32), matched

    def compute(self) -> float:
        """Mean over the classes that have objects; -1 without any (as COCO says it)."""
        present = np.flatnonzero(self._objects)
        if not len(present):
            return -1.0
        columns = zip(*(self._matches[index] for index in sorted(self._matches)), strict=True)
        labels, scores, matched = (np.concatenate(column) for column in columns)
        order = np.argsort(labels, kind="stable")
        limits = np.searchsorted(labels[order], present), np.searchsorted(labels[order], present, side="right")
        return float(
            np.mean(
                [
                    average_precision(scores[order[start:end]], matched[order[start:end]], self._objects[c])
                    for c, start, end in zip(present, *limits, strict=True)
                ]
            )
        )
