"""Boxes of torchvision's and transformers' detectors for a scene graph model."""

import pytest
import torch
from trained_model import photo

from maskrcnn_benchmark.adapters import TorchvisionDetector, TransformersDetector, as_given
from maskrcnn_benchmark.engine.given_boxes import given_boxes

CLASSES = ["bike", "person", "dog"]
NAMES = {1: "person", 2: "bicycle", 80: "toaster"}


def check(found, size):
    """It is what the model takes, and of its classes."""
    assert set(found) == {"boxes", "labels", "scores"} and set(found["labels"]) <= set(CLASSES)
    given = given_boxes(size, CLASSES, **found)
    assert given is not None and len(given.labels) == len(found["boxes"])
    return given


def test_names_and_scores():
    output = {
        "boxes": torch.tensor([[0.0, 0, 9, 9], [1, 1, 5, 5], [2, 2, 4, 4], [3, 3, 6, 6]]),
        "labels": torch.tensor([2, 80, 1, 1]),
        "scores": torch.tensor([0.9, 0.8, 0.7, 0.2]),
    }
    found = as_given(output, NAMES, CLASSES)
    assert found["labels"] == ["bike", "person"] and found["boxes"] == [[0, 0, 9, 9], [2, 2, 4, 4]]
    assert found["scores"] == pytest.approx([0.9, 0.7])
    assert len(as_given(output, NAMES, CLASSES, min_score=0.0)["boxes"]) == 3
    check(as_given({key: value[:0] for key, value in output.items()}, NAMES, CLASSES), (10, 10))


def test_a_detector_of_torchvision():
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn

    torch.manual_seed(0)
    network = fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=4, box_score_thresh=0.0, min_size=64, max_size=96
    )
    detector = TorchvisionDetector(network, ["__background__", "person", "bicycle", "toaster"], CLASSES, min_score=0.0)
    found = detector(photo())
    assert found["boxes"]
    check(found, (80, 60))


def test_a_detector_of_transformers():
    transformers = pytest.importorskip("transformers", reason="needs transformers (the extra transformers)")
    torch.manual_seed(0)
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 16], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        backbone_config=backbone, use_timm_backbone=False, backbone=None, use_pretrained_backbone=False,
        num_queries=6, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2, id2label={0: "person", 1: "bicycle", 2: "toaster"},
    )  # fmt: skip
    processor = transformers.DetrImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    detector = TransformersDetector(transformers.DetrForObjectDetection(config), processor, CLASSES, min_score=0.0)
    found = detector(photo())
    assert found["boxes"]
    width, height = 80, 60
    inside = [
        i for i, (x1, y1, x2, y2) in enumerate(found["boxes"]) if x1 < width and y1 < height and x2 > 0 and y2 > 0
    ]
    check({key: [values[i] for i in inside] for key, values in found.items()}, (width, height))
