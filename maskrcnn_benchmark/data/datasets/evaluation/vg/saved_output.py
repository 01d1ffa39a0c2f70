"""Predictions of a test beside the annotations, in the files that SGB writes."""

from __future__ import annotations

import json
import os

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.files import atomic_write


def save_output(output_folder: str, groundtruths: list[BoxList], predictions: list[BoxList], dataset) -> None:
    """Write SGB's `eval_results.pytorch` (all annotations and predictions) and `visual_info.json` (boxes by name).

    The whole list must be in memory: TEST.SAVE_PROPOSALS asks for it.
    """
    if not output_folder:
        return
    with atomic_write(os.path.join(output_folder, "eval_results.pytorch")) as path:
        torch.save({"groundtruths": groundtruths, "predictions": predictions}, path)
    visual_info = [
        {
            "img_file": os.path.abspath(dataset.filenames[index]),
            "groundtruth": _named_boxes(groundtruth, "labels", dataset.categories),
            "prediction": _named_boxes(prediction, "pred_labels", dataset.categories),
        }
        for index, (groundtruth, prediction) in enumerate(zip(groundtruths, predictions, strict=True))
    ]
    with atomic_write(os.path.join(output_folder, "visual_info.json")) as path:
        path.write_text(json.dumps(visual_info))


def _named_boxes(boxes: BoxList, field: str, categories: dict[int, str]) -> list[list]:
    """[x1, y1, x2, y2, class name] of each box."""
    labels = boxes.get_field(field).tolist()
    return [[*box, categories[label]] for box, label in zip(boxes.bbox.tolist(), labels, strict=True)]
