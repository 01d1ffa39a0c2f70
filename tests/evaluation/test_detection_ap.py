"""Average precision image by image against pycocotools on everything at once."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_benchmark.data.datasets.evaluation.vg.detection_ap import DetectionMeanAP

NUM_CLASSES = 5


def random_boxes(rng, count):
    corner = rng.uniform(0, 60, (count, 2))
    return np.concatenate((corner, corner + rng.uniform(5, 40, (count, 2))), 1).astype(np.float32)


def random_images(rng, count):
    """(boxes, scores, labels, annotated boxes, annotated labels) of each image; some have no detections."""
    for index in range(count):
        gt_boxes, gt_labels = random_boxes(rng, 6), rng.integers(1, NUM_CLASSES - 1, 6)
        found = np.repeat(np.arange(6), 3)[: 0 if index % 5 == 4 else 18]
        boxes = gt_boxes[found] + rng.normal(0, 4, (len(found), 4)).astype(np.float32)
        labels = np.where(rng.random(len(found)) < 0.8, gt_labels[found], rng.integers(1, NUM_CLASSES, len(found)))
        scores = np.round(rng.random(len(found)), 1).astype(np.float32)  # with ties
        yield boxes, scores, labels, gt_boxes, gt_labels


def reference(images):
    def xywh(box):
        return [float(box[0]), float(box[1]), float(box[2] - box[0] + 1), float(box[3] - box[1] + 1)]

    annotations, rows = [], []
    for image, (boxes, scores, labels, gt_boxes, gt_labels) in enumerate(images):
        for box, label in zip(gt_boxes, gt_labels, strict=True):
            x, y, w, h = xywh(box)
            annotations.append({"id": len(annotations), "image_id": image, "category_id": int(label),
                                "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0})  # fmt: skip
        rows += [[image, *xywh(box), score, label] for box, score, label in zip(boxes, scores, labels, strict=True)]
    coco = COCO()
    coco.dataset = {
        "info": {},
        "images": [{"id": i} for i in range(len(images))],
        "categories": [{"id": c} for c in range(1, NUM_CLASSES)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(np.array(rows)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[1]


def test_stream_in_any_order_is_coco_on_everything(capsys):
    images = list(random_images(np.random.default_rng(0), 12))
    for order in (range(12), reversed(range(12))):
        metric = DetectionMeanAP(NUM_CLASSES)
        for index in order:
            metric.update(index, *images[index])
        np.testing.assert_allclose(metric.compute(), reference(images), atol=1e-9)
    assert capsys.readouterr().out == ""


def test_perfect_detections_and_none():
    rng = np.random.default_rng(1)
    boxes, labels = random_boxes(rng, 4), np.array([1, 2, 3, 4])
    perfect, nothing, empty = (DetectionMeanAP(NUM_CLASSES) for _ in range(3))
    perfect.update(1, boxes, np.ones(4), labels, boxes, labels)
    nothing.update(1, boxes[:0], np.ones(0), labels[:0], boxes, labels)
    assert perfect.compute() == 1.0
    assert nothing.compute() == 0.0
    assert empty.compute() == -1.0
