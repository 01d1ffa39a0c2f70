"""Region proposal network (Ren et al., Faster R-CNN)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.utils import check_finite
from maskrcnn_benchmark.structures.bounding_box import BoxList

from .anchor_generator import make_anchor_generator
from .inference import make_rpn_postprocessor
from .loss import make_rpn_loss_evaluator


@registry.RPN_HEADS.register("SingleConvRPNHead")
class RPNHead(nn.Module):
    """A 3 x 3 convolution, then scores and offsets of the anchors at every place."""

    def __init__(self, cfg, in_channels: int, mid_channels: int, num_anchors: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, mid_channels, kernel_size=3, stride=1, padding=1)
        self.cls_logits = nn.Conv2d(mid_channels, num_anchors, kernel_size=1)
        self.bbox_pred = nn.Conv2d(mid_channels, num_anchors * 4, kernel_size=1)
        for layer in (self.conv, self.cls_logits, self.bbox_pred):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, 0)

    def forward(self, x) -> tuple[list[Tensor], list[Tensor]]:
        """Levels [N, C, H, W] to scores [N, A, H, W] and offsets [N, A 4, H, W] of each."""
        hidden = [F.relu(self.conv(level)) for level in x]
        return [self.cls_logits(h) for h in hidden], [self.bbox_pred(h) for h in hidden]


class RPNModule(nn.Module):
    """Proposals, and while the detector is trained the losses."""

    def __init__(self, cfg, in_channels: int):
        super().__init__()
        self.anchor_generator = make_anchor_generator(cfg)
        self.head = registry.lookup(registry.RPN_HEADS, cfg.MODEL.RPN.RPN_HEAD, "MODEL.RPN.RPN_HEAD")(
            cfg, in_channels, cfg.MODEL.RPN.RPN_MID_CHANNEL, self.anchor_generator.num_anchors_per_location()[0]
        )
        box_coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self.box_selector_train = make_rpn_postprocessor(cfg, box_coder, is_train=True)
        self.box_selector_test = make_rpn_postprocessor(cfg, box_coder, is_train=False)
        self.loss_evaluator = make_rpn_loss_evaluator(cfg, box_coder)
        self.learns = not cfg.MODEL.RELATION_ON  # the detector stays as it is once relations are learnt

    def forward(self, images, features, targets=None) -> tuple[list[BoxList], dict[str, Tensor]]:
        """Proposals of each image with the field `objectness`, and losses by name, while the detector is trained."""
        objectness, box_regression = self.head(features)
        if not self.training:
            check_finite([*objectness, *box_regression], "the scores of region proposals")
        anchors = self.anchor_generator(images, features)
        selector = self.box_selector_train if self.training else self.box_selector_test
        detached = (
            [level.detach().float() for level in objectness],
            [level.detach().float() for level in box_regression],
        )
        boxes = selector(anchors, *detached, targets)
        if not (self.training and self.learns):
            return boxes, {}
        loss_objectness, loss_rpn_box_reg = self.loss_evaluator(anchors, objectness, box_regression, targets)
        return boxes, {"loss_objectness": loss_objectness, "loss_rpn_box_reg": loss_rpn_box_reg}


def build_rpn(cfg, in_channels: int) -> RPNModule:
    return RPNModule(cfg, in_channels)
