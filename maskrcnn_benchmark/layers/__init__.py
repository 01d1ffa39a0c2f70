"""Layers, operators and losses."""

from .batch_norm import FrozenBatchNorm2d, normalised_conv
from .entropy_loss import entropy_loss
from .kl_div_loss import kl_div_loss
from .label_smoothing_loss import Label_Smoothing_Regression
from .misc import BatchNorm2d, Conv2d, ConvTranspose2d, interpolate
from .nms import batched_nms, nms
from .roi_align import ROIAlign, in_pooling_order, roi_align
from .smooth_l1_loss import smooth_l1_loss

__all__ = [
    "BatchNorm2d",
    "Conv2d",
    "ConvTranspose2d",
    "FrozenBatchNorm2d",
    "Label_Smoothing_Regression",
    "ROIAlign",
    "batched_nms",
    "entropy_loss",
    "in_pooling_order",
    "interpolate",
    "kl_div_loss",
    "nms",
    "normalised_conv",
    "roi_align",
    "smooth_l1_loss",
]
