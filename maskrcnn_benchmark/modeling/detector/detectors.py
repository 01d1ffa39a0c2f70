"""Detectors by name."""

from torch import nn

from maskrcnn_benchmark.modeling.registry import lookup
from maskrcnn_benchmark.utils.registry import Registry

from .generalized_rcnn import GeneralizedRCNN

_DETECTION_META_ARCHITECTURES = Registry({"GeneralizedRCNN": GeneralizedRCNN})


def build_detection_model(cfg) -> nn.Module:
    """The model that MODEL.META_ARCHITECTURE names."""
    return lookup(_DETECTION_META_ARCHITECTURES, cfg.MODEL.META_ARCHITECTURE, "MODEL.META_ARCHITECTURE")(cfg)
