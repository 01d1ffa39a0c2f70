"""Detectors by name."""

from torch import nn

from maskrcnn_benchmark.config.load import check_left_out
from maskrcnn_benchmark.modeling.registry import lookup
from maskrcnn_benchmark.utils.registry import Registry

from .generalized_rcnn import GeneralizedRCNN

_DETECTION_META_ARCHITECTURES = Registry({"GeneralizedRCNN": GeneralizedRCNN})


def build_detection_model(cfg) -> nn.Module:
    """The model that MODEL.META_ARCHITECTURE names.

    Raises:
        InputError: a part of SGB that is left out here is asked for, or a name that does not exist.
    """
    check_left_out(cfg)
    return lookup(_DETECTION_META_ARCHITECTURES, cfg.MODEL.META_ARCHITECTURE, "MODEL.META_ARCHITECTURE")(cfg)
