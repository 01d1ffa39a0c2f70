"""Boxes of other detectors for `SceneGraphModel`: torchvision's, and those of transformers' object detection.

    detector = TorchvisionDetector(fasterrcnn, weights.meta["categories"], model.classes)
    graph = model(image, **detector(image))

COCO's classes get their VG-150 names where the model has those (`coco_names.VG150_OF_COCO`); what has no counterpart
among the model's classes is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torchvision.transforms.functional import to_tensor

from maskrcnn_benchmark.engine.coco_names import matching_names


def as_given(
    output: Mapping[str, Any], names: Mapping[int, str], classes: Sequence[str], min_score: float = 0.5
) -> dict[str, Any]:
    """A detector's output as keyword arguments of `SceneGraphModel.__call__`.

    Args:
        output: `boxes` [n, 4] (x1, y1, x2, y2 in pixels), `labels` [n] and `scores` [n] of one image, as torchvision's
            detectors and transformers' `post_process_object_detection` give them.
        names: of the detector's labels.
        classes: of the scene graph model.
        min_score: leave out what scores less.
    """
    known = matching_names(set(names.values()), classes)
    boxes, labels, scores = [], [], []
    for box, label, score in zip(
        output["boxes"].tolist(), output["labels"].tolist(), output["scores"].tolist(), strict=True
    ):
        name = known.get(names.get(label, ""))
        if name is not None and score >= min_score:
            boxes.append(box)
            labels.append(name)
            scores.append(min(score, 1.0))
    return {"boxes": boxes, "labels": labels, "scores": scores}


class TorchvisionDetector:
    """A detector of torchvision.models.detection.

    Args:
        model: in evaluation mode.
        categories: names by label, `weights.meta["categories"]`.
        classes: of the scene graph model, `model.classes`.
        min_score: leave out what scores less.
    """

    def __init__(
        self, model: torch.nn.Module, categories: Sequence[str], classes: Sequence[str], min_score: float = 0.5
    ) -> None:
        self.model, self.names = model.eval(), dict(enumerate(categories))
        self.classes, self.min_score = classes, min_score

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> dict[str, Any]:
        """Keyword arguments of `SceneGraphModel.__call__` for an image."""
        device = next(self.model.parameters()).device
        (output,) = self.model([to_tensor(image.convert("RGB")).to(device)])
        return as_given(output, self.names, self.classes, self.min_score)


class TransformersDetector:
    """Any model of transformers with an object-detection head (DETR, RT-DETR and so on).

    Args:
        model: `AutoModelForObjectDetection.from_pretrained(...)`; its `config.id2label` has the names.
        processor: `AutoImageProcessor.from_pretrained(...)` of the same.
        classes: of the scene graph model, `model.classes`.
        min_score: leave out what scores less.
    """

    def __init__(self, model: Any, processor: Any, classes: Sequence[str], min_score: float = 0.5) -> None:
        self.model, self.processor = model.eval(), processor
        self.classes, self.min_score = classes, min_score

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> dict[str, Any]:
        """Keyword arguments of `SceneGraphModel.__call__` for an image."""
        inputs = self.processor(images=image.convert("RGB"), return_tensors="pt").to(self.model.device)
        (output,) = self.processor.post_process_object_detection(
            self.model(**inputs), threshold=self.min_score, target_sizes=[(image.height, image.width)]
        )
        names = {int(label): name for label, name in self.model.config.id2label.items()}
        return as_given(output, names, self.classes, self.min_score)
