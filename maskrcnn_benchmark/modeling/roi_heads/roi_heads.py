"""The heads that look at regions: boxes, then relations."""

from __future__ import annotations

from torch import nn

from maskrcnn_benchmark.layers import in_pooling_order

from .box_head.box_head import build_roi_box_head


class CombinedROIHeads(nn.ModuleDict):
    """The box head and, where there is one, the relation head on what it finds."""

    def __init__(self, cfg, heads):
        super().__init__(heads)
        self.cfg = cfg.clone()

    def forward(self, features, proposals, targets=None, logger=None, images=None):
        """Region features, proposals or predictions of each image, and losses by name.

        Args:
            images: the pixels [B, C, H, W] behind the features, for a second opinion on relations.
        """
        features = [in_pooling_order(level) for level in features]
        x, detections, losses = self["box"](features, proposals, targets)
        if "relation" in self:
            x, detections, relation_losses = self["relation"](features, detections, targets, logger, images)
            losses = {**losses, **relation_losses}
        return x, detections, losses


def build_roi_heads(cfg, in_channels: int) -> CombinedROIHeads:
    """The heads that a configuration asks for."""
    heads: list[tuple[str, nn.Module]] = [("box", build_roi_box_head(cfg, in_channels))]
    if cfg.MODEL.RELATION_ON:
        # the relation head builds on the box head's parts, so it is imported only where it is used
        from .relation_head.relation_head import build_roi_relation_head

        heads.append(("relation", build_roi_relation_head(cfg, in_channels)))
    return CombinedROIHeads(cfg, heads)
