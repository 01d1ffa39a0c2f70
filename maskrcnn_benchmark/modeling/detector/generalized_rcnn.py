"""Backbone, region proposals and heads in a row."""

from __future__ import annotations

import os
import shutil

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.backbone import build_backbone
from maskrcnn_benchmark.modeling.backbone.feature_cache import FeatureCache
from maskrcnn_benchmark.modeling.roi_heads.roi_heads import build_roi_heads
from maskrcnn_benchmark.modeling.rpn.rpn import build_rpn
from maskrcnn_benchmark.modeling.utils import check_finite
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.utils.errors import InputError


def check_compiler(device: str) -> None:
    """
    Raises:
        InputError: a backbone is to be compiled for the CPU, and there is no C++ compiler to do it.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    if torch.device(device).type == "cpu" and not any(map(shutil.which, names)):
        raise InputError(
            f"MODEL.BACKBONE.COMPILE is True, which needs a C++ compiler on a CPU; found none of {', '.join(names)}. "
            "Install one (Debian: apt install g++), or set it to False."
        )


class GeneralizedRCNN(nn.Module):
    """A two-stage detector, with a relation head where MODEL.RELATION_ON asks for one."""

    def __init__(self, cfg):
        super().__init__()
        self.backbone = build_backbone(cfg)
        if cfg.MODEL.BACKBONE.COMPILE:
            check_compiler(cfg.MODEL.DEVICE)
            self.backbone.compile(dynamic=True)  # in place: parameters keep their names
        folder = cfg.MODEL.BACKBONE.FEATURE_CACHE
        dtype = cfg.MODEL.BACKBONE.FEATURE_CACHE_DTYPE
        self.feature_cache = FeatureCache(folder, self.backbone, dtype) if folder else None
        self.rpn = build_rpn(cfg, self.backbone.out_channels)
        self.roi_heads = build_roi_heads(cfg, self.backbone.out_channels)
        # PredCls and SGCls start from ground-truth boxes: proposals would be computed for nothing.
        self.needs_proposals = not (cfg.MODEL.RELATION_ON and cfg.MODEL.ROI_RELATION_HEAD.USE_GT_BOX)

    def forward(self, images, targets=None, logger=None) -> dict[str, Tensor] | list:
        """Losses by name in training, a BoxList of predictions for each image otherwise.

        Args:
            images: an ImageList, or what `to_image_list` takes.
            targets: ground truth of each image; needed in training and wherever ground-truth boxes are used.
            logger: passed on to the relation head.

        Raises:
            InputError: outside of training, a feature map or a score that is not finite.
        """
        if self.training and targets is None:
            raise ValueError("training needs targets")
        images = to_image_list(images)
        pixels = images.tensors.contiguous(memory_format=torch.channels_last)  # faster convolutions, on CPU and GPU
        features = (self.feature_cache or self.backbone)(pixels)
        if not self.training:
            check_finite(features, "the backbone's feature maps")
        proposals, proposal_losses = None, {}
        if self.needs_proposals:
            proposals, proposal_losses = self.rpn(images, features, targets)
        _, result, losses = self.roi_heads(features, proposals, targets, logger, images.tensors)
        return {**losses, **proposal_losses} if self.training else result
