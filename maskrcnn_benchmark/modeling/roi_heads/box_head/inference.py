"""From class scores and offsets to detections."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.layers import batched_nms
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.structures.bounding_box import BoxList


class PostProcessor(nn.Module):
    """Decodes, thresholds and suppresses detections, class by class, for all classes at once.

    Args:
        score_thresh: a class must score above it.
        nms: IoU above which the worse of two boxes of a class goes.
        post_nms_per_cls_topn: boxes kept of each class.
        nms_filter_duplicates: of the classes of one proposal that survive, keep the best only.
        detections_per_img: boxes kept of an image.
        save_proposals: as `nms_filter_duplicates`.
    """

    def __init__(
        self,
        score_thresh: float = 0.05,
        nms: float = 0.5,
        post_nms_per_cls_topn: int = 300,
        nms_filter_duplicates: bool = True,
        detections_per_img: int = 100,
        box_coder: BoxCoder | None = None,
        cls_agnostic_bbox_reg: bool = False,
        save_proposals: bool = False,
    ):
        super().__init__()
        self.score_thresh = score_thresh
        self.nms = nms
        self.post_nms_per_cls_topn = post_nms_per_cls_topn
        self.nms_filter_duplicates = nms_filter_duplicates or save_proposals
        self.detections_per_img = detections_per_img
        self.box_coder = box_coder or BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
        self.cls_agnostic_bbox_reg = cls_agnostic_bbox_reg

    def forward(self, x, boxes: list[BoxList], relation_mode: bool = False) -> tuple[Tensor, list[BoxList]]:
        """Detections of each image with `pred_scores` and `pred_labels`, and the region features that belong to them.

        Args:
            x: features [n, D], logits [n, O] and offsets [n, 4 O] (or [n, 8]) of all proposals.
            boxes: proposals of each image.
            relation_mode: keep `labels`, `attributes` and `predict_logits` of the proposals, and add `boxes_per_cls`
                [k, O, 4], the box that each class would have.
        """
        features, class_logits, box_regression = x
        scores = F.softmax(class_logits.float(), -1)  # [n, O]
        offsets = box_regression.float()
        if self.cls_agnostic_bbox_reg:
            offsets = offsets[:, -4:]
        decoded = self.box_coder.decode(offsets, torch.cat([b.bbox for b in boxes]))
        decoded = decoded.view(len(scores), decoded.shape[1] // 4, 4).expand(-1, scores.shape[1], -1)  # [n, O, 4]

        counts = [len(b) for b in boxes]
        results, kept_features = [], []
        for proposals, prob, per_class, feature in zip(
            boxes, scores.split(counts), decoded.split(counts), features.split(counts), strict=True
        ):
            clipped = BoxList(per_class.reshape(-1, 4), proposals.size, mode="xyxy").clip_to_image(remove_empty=False)
            per_class = clipped.bbox.view(*per_class.shape)
            index, labels = self.filter_results(per_class, prob)
            result = BoxList(per_class[index, labels], proposals.size, mode="xyxy")
            result.add_field("pred_scores", prob[index, labels])
            result.add_field("pred_labels", labels)
            if relation_mode:
                for name in ("labels", "attributes", "predict_logits"):
                    result.add_field(name, proposals.get_field(name)[index])
                result.add_field("boxes_per_cls", per_class[index])
            results.append(result)
            kept_features.append(feature[index])
        return torch.cat(kept_features), results

    def filter_results(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Which boxes [n, O, 4] of which classes are detections, by scores [n, O].

        Returns:
            proposals int64 [k] and classes int64 [k]: by proposal if duplicates are filtered, else by class and score.
        """
        kept_index, kept_class = self._suppress(boxes, scores)
        if self.nms_filter_duplicates:
            surviving = torch.zeros_like(scores)
            surviving[kept_index, kept_class] = scores[kept_index, kept_class]
            best, kept_class = surviving.max(1)
            kept_index = best.nonzero().squeeze(1)
            kept_class = kept_class[kept_index]
        if len(kept_index) > self.detections_per_img > 0:
            chosen = scores[kept_index, kept_class]
            limit = chosen.topk(self.detections_per_img).values[-1]
            kept_index, kept_class = kept_index[chosen >= limit], kept_class[chosen >= limit]
        return kept_index, kept_class

    def _suppress(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs (proposal, class) above the threshold that survive suppression, by class, then by score."""
        foreground = scores > self.score_thresh
        foreground[:, 0] = False
        index, label = foreground.nonzero(as_tuple=True)
        score = scores[index, label]
        if self.nms > 0:
            keep = batched_nms(boxes[index, label], score, label, self.nms)
            index, label, score = index[keep], label[keep], score[keep]
            order = label.argsort(stable=True)
            index, label = index[order], label[order]
            if self.post_nms_per_cls_topn > 0:
                first = torch.searchsorted(label, label)  # where each box's class begins
                within = torch.arange(len(label), device=label.device) - first < self.post_nms_per_cls_topn
                index, label = index[within], label[within]
            return index, label
        order = label.argsort(stable=True)
        return index[order], label[order]


def make_roi_box_post_processor(cfg) -> PostProcessor:
    heads = cfg.MODEL.ROI_HEADS
    return PostProcessor(
        heads.SCORE_THRESH,
        heads.NMS,
        heads.POST_NMS_PER_CLS_TOPN,
        heads.NMS_FILTER_DUPLICATES,
        heads.DETECTIONS_PER_IMG,
        BoxCoder(weights=heads.BBOX_REG_WEIGHTS),
        cfg.MODEL.CLS_AGNOSTIC_BBOX_REG,
        cfg.TEST.SAVE_PROPOSALS,
    )
