"""From anchors, scores and offsets to proposals."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_nms, cat_boxlist, remove_small_boxes

from .utils import permute_and_flatten


class RPNPostProcessor(nn.Module):
    """Decodes, clips, suppresses and ranks proposals.

    Args:
        pre_nms_top_n, post_nms_top_n: proposals of a level before and after suppression.
        nms_thresh: IoU above which the worse of two goes.
        min_size: smallest side in pixels.
        fpn_post_nms_top_n: proposals kept over all levels, per image; in training per batch where
            `fpn_post_nms_per_batch` says so.
        add_gt: in training, add the ground-truth boxes.
    """

    def __init__(
        self,
        pre_nms_top_n: int,
        post_nms_top_n: int,
        nms_thresh: float,
        min_size: int,
        box_coder: BoxCoder | None = None,
        fpn_post_nms_top_n: int | None = None,
        fpn_post_nms_per_batch: bool = True,
        add_gt: bool = True,
    ):
        super().__init__()
        self.pre_nms_top_n = pre_nms_top_n
        self.post_nms_top_n = post_nms_top_n
        self.nms_thresh = nms_thresh
        self.min_size = min_size
        self.box_coder = box_coder or BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
        self.fpn_post_nms_top_n = post_nms_top_n if fpn_post_nms_top_n is None else fpn_post_nms_top_n
        self.fpn_post_nms_per_batch = fpn_post_nms_per_batch
        self.add_gt = add_gt

    def add_gt_proposals(self, proposals: list[BoxList], targets: list[BoxList]) -> list[BoxList]:
        """The proposals of each image and its ground-truth boxes, with objectness 1."""
        joined = []
        for proposal, target in zip(proposals, targets, strict=True):
            gt_box = target.copy_with_fields([])
            gt_box.add_field("objectness", torch.ones(len(gt_box), device=gt_box.bbox.device))
            joined.append(cat_boxlist((proposal, gt_box)))
        return joined

    def forward_for_single_feature_map(
        self, anchors: list[BoxList], objectness: Tensor, box_regression: Tensor
    ) -> list[BoxList]:
        """Proposals of one level for each image, from scores [N, A, H, W] and offsets [N, A 4, H, W]."""
        N, A, H, W = objectness.shape
        scores = permute_and_flatten(objectness, N, A, 1, H, W).view(N, -1).sigmoid()
        offsets = permute_and_flatten(box_regression, N, A, 4, H, W)
        scores, top = scores.topk(min(self.pre_nms_top_n, A * H * W), dim=1, sorted=True)
        image = torch.arange(N, device=scores.device)[:, None]
        offsets = offsets[image, top]
        boxes = torch.stack([a.bbox for a in anchors])[image, top]
        proposals = self.box_coder.decode(offsets.reshape(-1, 4), boxes.reshape(-1, 4)).view(N, -1, 4)

        result = []
        for proposal, score, anchor in zip(proposals, scores, anchors, strict=True):
            boxlist = BoxList(proposal, anchor.size, mode="xyxy")
            boxlist.add_field("objectness", score)
            boxlist = remove_small_boxes(boxlist.clip_to_image(remove_empty=False), self.min_size)
            boxlist, _ = boxlist_nms(boxlist, self.nms_thresh, self.post_nms_top_n, score_field="objectness")
            result.append(boxlist)
        return result

    def forward(
        self,
        anchors: list[list[BoxList]],
        objectness: list[Tensor],
        box_regression: list[Tensor],
        targets: list[BoxList] | None = None,
    ) -> list[BoxList]:
        """Proposals of each image, from anchors by image and level and maps by level."""
        by_level = [
            self.forward_for_single_feature_map(*level)
            for level in zip(zip(*anchors, strict=True), objectness, box_regression, strict=True)
        ]
        boxlists = [cat_boxlist(levels) for levels in zip(*by_level, strict=True)]
        if len(by_level) > 1:
            boxlists = self.select_over_all_levels(boxlists)
        if self.training and targets is not None and self.add_gt:
            boxlists = self.add_gt_proposals(boxlists, targets)
        return boxlists

    def select_over_all_levels(self, boxlists: list[BoxList]) -> list[BoxList]:
        """The best proposals of each image, or in training, as Detectron does it, of the batch."""
        if not (self.training and self.fpn_post_nms_per_batch):
            return [b[self._best(b.get_field("objectness"))] for b in boxlists]
        objectness = torch.cat([b.get_field("objectness") for b in boxlists])
        chosen = torch.zeros_like(objectness, dtype=torch.bool)
        chosen[self._best(objectness)] = True
        masks = chosen.split([len(b) for b in boxlists])
        return [b[mask] for b, mask in zip(boxlists, masks, strict=True)]

    def _best(self, objectness: Tensor) -> Tensor:
        return objectness.topk(min(self.fpn_post_nms_top_n, len(objectness)), sorted=True).indices


def make_rpn_postprocessor(config, rpn_box_coder: BoxCoder, is_train: bool) -> RPNPostProcessor:
    """The post-processor for training or for testing."""
    rpn = config.MODEL.RPN
    phase = "TRAIN" if is_train else "TEST"
    return RPNPostProcessor(
        pre_nms_top_n=rpn[f"PRE_NMS_TOP_N_{phase}"],
        post_nms_top_n=rpn[f"POST_NMS_TOP_N_{phase}"],
        nms_thresh=rpn.NMS_THRESH,
        min_size=rpn.MIN_SIZE,
        box_coder=rpn_box_coder,
        fpn_post_nms_top_n=rpn[f"FPN_POST_NMS_TOP_N_{phase}"],
        fpn_post_nms_per_batch=rpn.FPN_POST_NMS_PER_BATCH,
        add_gt=config.MODEL.ROI_RELATION_HEAD.ADD_GTBOX_TO_PROPOSAL_IN_TRAIN,
    )
