"""Classes and box offsets from region features."""

from __future__ import annotations

from torch import Tensor, nn

from maskrcnn_benchmark.modeling import registry


class _BoxPredictor(nn.Module):
    """Scores of all classes and offsets of each class (of background and object where they are shared)."""

    def __init__(self, config, in_channels: int):
        super().__init__()
        num_classes = config.MODEL.ROI_BOX_HEAD.NUM_CLASSES
        num_boxes = 2 if config.MODEL.CLS_AGNOSTIC_BBOX_REG else num_classes
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, num_boxes * 4)
        for layer, std in ((self.cls_score, 0.01), (self.bbox_pred, 0.001)):
            nn.init.normal_(layer.weight, mean=0, std=std)
            nn.init.constant_(layer.bias, 0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features [n, C] or [n, C, h, w] to logits [n, O] and offsets [n, 4 O] (or [n, 8])."""
        if x.ndim == 4:
            x = x.mean((2, 3))
        return self.cls_score(x), self.bbox_pred(x)


@registry.ROI_BOX_PREDICTOR.register("FastRCNNPredictor")
class FastRCNNPredictor(_BoxPredictor):
    """For feature maps of regions, which are averaged."""


@registry.ROI_BOX_PREDICTOR.register("FPNPredictor")
class FPNPredictor(_BoxPredictor):
    """For feature vectors of regions."""


def make_roi_box_predictor(cfg, in_channels: int) -> nn.Module:
    """The predictor that MODEL.ROI_BOX_HEAD.PREDICTOR names."""
    name = cfg.MODEL.ROI_BOX_HEAD.PREDICTOR
    return registry.lookup(registry.ROI_BOX_PREDICTOR, name, "MODEL.ROI_BOX_HEAD.PREDICTOR")(cfg, in_channels)
