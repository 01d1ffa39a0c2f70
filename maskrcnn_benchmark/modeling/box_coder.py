"""Boxes as offsets from reference boxes (Girshick et al., R-CNN, appendix C); boxes are inclusive."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE


class BoxCoder:
    """Encodes and decodes offsets (dx, dy, dw, dh).

    Args:
        weights: factors of the four offsets.
        bbox_xform_clip: largest dw and dh.
    """

    def __init__(self, weights, bbox_xform_clip: float = math.log(1000.0 / 16)):
        self.weights = weights
        self.bbox_xform_clip = bbox_xform_clip

    @staticmethod
    def _centres(boxes: Tensor) -> tuple[Tensor, Tensor]:
        sizes = boxes[:, 2:] - boxes[:, :2] + TO_REMOVE  # [n, 2]
        return boxes[:, :2] + 0.5 * sizes, sizes

    def encode(self, reference_boxes: Tensor, proposals: Tensor) -> Tensor:
        """Offsets [n, 4] that turn `proposals` [n, 4] into `reference_boxes` [n, 4] (xyxy)."""
        proposal_centres, proposal_sizes = self._centres(proposals)
        centres, sizes = self._centres(reference_boxes)
        codes = torch.cat(((centres - proposal_centres) / proposal_sizes, (sizes / proposal_sizes).log()), dim=1)
        return codes * codes.new_tensor(self.weights)

    def decode(self, rel_codes: Tensor, boxes: Tensor) -> Tensor:
        """Boxes [n, 4 k] (xyxy) from offsets [n, 4 k], k boxes for each of `boxes` [n, 4]."""
        centres, sizes = (part[:, None] for part in self._centres(boxes.to(rel_codes.dtype)))  # [n, 1, 2]
        codes = rel_codes.reshape(len(boxes), rel_codes.shape[1] // 4, 4)  # [n, k, 4]
        codes = codes / codes.new_tensor(self.weights)
        centres = torch.addcmul(centres, codes[..., :2], sizes)  # [n, k, 2]
        half = codes[..., 2:].clamp(max=self.bbox_xform_clip).exp() * (0.5 * sizes)  # [n, k, 2]
        return torch.cat((centres - half, centres + half - TO_REMOVE), dim=-1).reshape(rel_codes.shape)
