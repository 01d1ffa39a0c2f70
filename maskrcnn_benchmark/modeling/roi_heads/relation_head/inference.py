"""From the logits of objects and pairs to scored and sorted triplets."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.structures.bounding_box import BoxList

from .utils_relation import obj_prediction_nms


class PostProcessor(nn.Module):
    """Labels of objects, with late suppression in SGDet, and pairs sorted by subject x predicate x object score."""

    def __init__(self, use_gt_box: bool = False, later_nms_pred_thres: float = 0.3):
        super().__init__()
        self.use_gt_box = use_gt_box
        self.later_nms_pred_thres = later_nms_pred_thres

    def forward(
        self, x: tuple[Sequence[Tensor], Sequence[Tensor]], rel_pair_idxs: Sequence[Tensor], boxes: Sequence[BoxList]
    ) -> list[BoxList]:
        """Predictions of each image.

        Args:
            x: logits of pairs, [m_i, R] each, and of objects, [n_i, C] each.
            rel_pair_idxs: (subject, object) indices, int64 [m_i, 2] each.
            boxes: boxes of the objects, in SGDet with the field `boxes_per_cls` [n_i, C, 4].

        Returns:
            boxes (in SGDet those of the predicted classes) with `pred_labels` and `pred_scores` of the objects, and of
            the pairs, best triplet first, `rel_pair_idxs` [m_i, 2], `pred_rel_scores` [m_i, R] and `pred_rel_labels`
            [m_i]
        """
        relation_logits, refine_logits = x
        return [self._image(*image) for image in zip(relation_logits, refine_logits, rel_pair_idxs, boxes, strict=True)]

    def _image(self, rel_logits: Tensor, obj_logits: Tensor, pairs: Tensor, boxes: BoxList) -> BoxList:
        obj_probs = obj_logits.float().softmax(dim=1)
        obj_probs[:, 0] = 0
        if self.use_gt_box:
            obj_scores, labels = obj_probs[:, 1:].max(dim=1)
            labels = labels + 1
            result = boxes.copy_with_fields(boxes.fields())
        else:
            boxes_per_cls = boxes.get_field("boxes_per_cls")
            labels = obj_prediction_nms(boxes_per_cls, obj_logits, self.later_nms_pred_thres)
            objects = torch.arange(len(labels), device=labels.device)
            obj_scores = obj_probs[objects, labels]
            result = BoxList(boxes_per_cls[objects, labels], boxes.size, "xyxy")
        result.add_field("pred_labels", labels)
        result.add_field("pred_scores", obj_scores)

        rel_probs = rel_logits.float().softmax(dim=1)
        rel_scores, rel_labels = rel_probs[:, 1:].max(dim=1)
        triplet_scores = rel_scores * obj_scores[pairs].prod(dim=1)
        order = triplet_scores.argsort(descending=True, stable=True)
        # These have a length of their own: a result with them must not be indexed as a list of boxes.
        result.add_field("rel_pair_idxs", pairs[order])
        result.add_field("pred_rel_scores", rel_probs[order])
        result.add_field("pred_rel_labels", rel_labels[order] + 1)
        return result


def make_roi_relation_post_processor(cfg) -> PostProcessor:
    return PostProcessor(
        cfg.MODEL.ROI_RELATION_HEAD.USE_GT_BOX,
        cfg.TEST.RELATION.LATER_NMS_PREDICTION_THRES,
    )
