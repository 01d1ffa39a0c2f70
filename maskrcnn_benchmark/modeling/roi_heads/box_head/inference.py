"""From class scores and offsets to detections."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.layers import batched_nms
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.structures.bounding_box import BoxList

# Suppression begins with this many of the best candidates for every detection that an image may have.
_CANDIDATES_PER_DETECTION = 8


class PostProcessor(nn.Module):
    """Decodes, thresholds and suppresses detections, each class on its own and all at once.

    Args:
        score_thresh: a class must score above it.
        nms: IoU above which the worse of two boxes of a class goes; 0 for no suppression.
        post_nms_per_cls_topn: boxes kept of each class by suppression.
        nms_filter_duplicates: of the classes of one proposal that survive, keep the best only.
        detections_per_img: boxes kept of an image (more, where they tie for the last place); 0 for all.
        box_coder: decodes the offsets.
        cls_agnostic_bbox_reg: the offsets are those of background and object, [n, 8].
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

        No gradient flows into the detections.

        Args:
            x: features [n, ...], logits [n, O] and offsets [n, 4 O] (or [n, 8]) of all proposals.
            boxes: proposals of each image.
            relation_mode: add the fields of `add_important_fields`.
        """
        features, class_logits, box_regression = x
        scores = F.softmax(class_logits.detach().float(), -1)  # [n, O]
        offsets = box_regression.detach().float().reshape(len(scores), box_regression.shape[1] // 4, 4)
        if self.cls_agnostic_bbox_reg:
            offsets = offsets[:, -1:].expand(-1, scores.shape[1], -1)  # [n, O, 4]

        counts = [len(b) for b in boxes]
        results, kept_features = [], []
        for i, (prob, codes, feature) in enumerate(
            zip(scores.split(counts), offsets.split(counts), features.split(counts), strict=True)
        ):
            index, label = self._detections(boxes[i], prob, codes)
            result = BoxList(self._decode(boxes[i], index, codes[index, label]), boxes[i].size, mode="xyxy")
            result.add_field("pred_scores", prob[index, label])
            result.add_field("pred_labels", label)
            boxes_per_cls = self._decode(boxes[i], index, codes[index])
            results.append(self.add_important_fields(i, boxes, index, result, boxes_per_cls, relation_mode))
            kept_features.append(feature[index])
        return torch.cat(kept_features), results

    def add_important_fields(
        self,
        i: int,
        boxes: list[BoxList],
        orig_inds: Tensor,
        boxlist: BoxList,
        boxes_per_cls: Tensor,
        relation_mode: bool = False,
    ) -> BoxList:
        """What relations need of the i-th image's detections: fields of the proposals `orig_inds`, and other boxes.

        These are `predict_logits`; where the proposals have them, `labels` and `attributes`; and `boxes_per_cls`
        [k, O, 4], the box that each class would have.
        """
        if relation_mode:
            fields = boxes[i].copy_with_fields(["labels", "attributes", "predict_logits"], skip_missing=True)[orig_inds]
            for name in fields.fields():
                boxlist.add_field(name, fields.get_field(name))
            boxlist.add_field("boxes_per_cls", boxes_per_cls)
        return boxlist

    def _decode(self, proposals: BoxList, index: Tensor, codes: Tensor) -> Tensor:
        """Boxes inside the image from the offsets [k, 4] or [k, O, 4] of the proposals `index` [k]."""
        decoded = self.box_coder.decode(codes.flatten(1), proposals.bbox[index])
        boxes = BoxList(decoded.view(-1, 4), proposals.size, mode="xyxy").clip_to_image(remove_empty=False)
        return boxes.bbox.view(codes.shape)

    def _detections(self, proposals: BoxList, scores: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Which classes of which proposals are detections, by scores [n, O] and offsets [n, O, 4].

        What becomes of a candidate depends on better ones only. So where the best candidates alone give as many
        detections as an image may have, the others need not be looked at, nor decoded.

        Returns:
            proposals int64 [k] and classes int64 [k]: by proposal if duplicates are filtered, else by class and score.
        """
        foreground = scores > self.score_thresh
        foreground[:, 0] = False
        all_index, all_label = foreground.nonzero(as_tuple=True)
        all_score = scores[all_index, all_label]
        limit = self.detections_per_img
        examined = limit * _CANDIDATES_PER_DETECTION if limit > 0 else len(all_score)
        while True:
            index, label, score = all_index, all_label, all_score
            if examined < len(all_score):
                best = (all_score >= all_score.topk(examined).values[-1]).nonzero().squeeze(1)
                index, label, score = index[best], label[best], score[best]
            kept = self._suppress(self._decode(proposals, index, codes[index, label]), score, label)
            if self.nms_filter_duplicates:
                kept = kept[_best_of_each(index[kept], score[kept])]
            if len(kept) >= limit or len(score) == len(all_score):
                break
            examined *= 8
        if len(kept) > limit > 0:
            kept = kept[score[kept] >= score[kept].topk(limit).values[-1]]
        return index[kept], label[kept]

    def _suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """Indices of the boxes that survive, int64 [k]: by class, in each the best first."""
        if self.nms <= 0:
            return labels.argsort(stable=True)
        kept = batched_nms(boxes, scores, labels, self.nms)
        labels = labels[kept]
        order = labels.argsort(stable=True)
        if self.post_nms_per_cls_topn > 0:
            labels = labels[order]
            rank = torch.arange(len(labels), device=labels.device) - torch.searchsorted(labels, labels)
            order = order[rank < self.post_nms_per_cls_topn]
        return kept[order]


def _best_of_each(index: Tensor, scores: Tensor) -> Tensor:
    """Where each of the proposals in `index` [k] has its best score [k] (the first of several), in their order."""
    order = scores.argsort(descending=True, stable=True)
    order = order[index[order].argsort(stable=True)]
    index = index[order]
    return order[torch.cat((index.new_ones(1, dtype=torch.bool), index[1:] != index[:-1]))[: len(index)]]


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
