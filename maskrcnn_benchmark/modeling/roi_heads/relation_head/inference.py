"""From the logits of objects and pairs to scored and sorted triplets."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.utils import check_finite
from maskrcnn_benchmark.structures.bounding_box import BoxList

from .pair_crops import PairCrops
from .second_opinion import SecondOpinion, make_second_opinion
from .utils_relation import obj_prediction_nms


class PostProcessor(nn.Module):
    """Labels of objects, with late suppression in SGDet, and pairs sorted by subject x predicate x object score.

    Args:
        second_opinion: asked about the predicates of the likeliest pairs, where there is one.
    """

    def __init__(
        self,
        use_gt_box: bool = False,
        later_nms_pred_thres: float = 0.3,
        second_opinion: SecondOpinion | None = None,
    ):
        super().__init__()
        self.use_gt_box = use_gt_box
        self.later_nms_pred_thres = later_nms_pred_thres
        self.second_opinion = second_opinion

    def prediction_inputs(self) -> dict[str, object]:
        """What a prediction depends on besides weights and configuration; see `engine.prediction_cache`."""
        return {} if self.second_opinion is None else self.second_opinion.prediction_inputs()

    def forward(
        self,
        x: tuple[Sequence[Tensor], Sequence[Tensor]],
        rel_pair_idxs: Sequence[Tensor],
        boxes: Sequence[BoxList],
        images: Tensor | None = None,
    ) -> list[BoxList]:
        """Predictions of each image.

        Args:
            x: logits of pairs, [m_i, R] each, and of objects, [n_i, C] each.
            rel_pair_idxs: (subject, object) indices, int64 [m_i, 2] each.
            boxes: boxes of the objects, in SGDet with the field `boxes_per_cls` [n_i, C, 4].
            images: pixels [B, C, H, W] as the detector takes them; needed for a second opinion.

        Returns:
            boxes (in SGDet those of the predicted classes) with `pred_labels` and `pred_scores` of the objects, and of
            the pairs, best triplet first, `rel_pair_idxs` [m_i, 2], `pred_rel_scores` [m_i, R] and `pred_rel_labels`
            [m_i]

        Raises:
            InputError: a score that is not finite.
        """
        relation_logits, refine_logits = x
        if self.second_opinion is not None and images is None:
            raise ValueError("a second opinion needs the images")
        pixels = [None] * len(boxes) if images is None else images
        each = zip(relation_logits, refine_logits, rel_pair_idxs, boxes, pixels, strict=True)
        results = [self._image(*image) for image in each]
        scores = [result.get_field(name) for result in results for name in ("pred_scores", "pred_rel_scores")]
        check_finite(scores, "the scores of objects and relations")
        return results

    def objects(self, obj_logits: Tensor, boxes: BoxList) -> BoxList:
        """The objects of one image with `pred_labels` and `pred_scores`; arguments as in `forward`."""
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
        return result

    def _image(
        self, rel_logits: Tensor, obj_logits: Tensor, pairs: Tensor, boxes: BoxList, image: Tensor | None
    ) -> BoxList:
        result = self.objects(obj_logits, boxes)
        labels, obj_scores = result.get_field("pred_labels"), result.get_field("pred_scores")
        rel_probs, rel_labels, triplet_scores = score_triplets(rel_logits, obj_scores, pairs)
        if self.second_opinion is not None and len(pairs):
            rel_logits = self.second_opinion(rel_logits, image, boxes.size, boxes.bbox, labels, pairs, triplet_scores)
            rel_probs, rel_labels, triplet_scores = score_triplets(rel_logits, obj_scores, pairs)
        order = triplet_scores.argsort(descending=True, stable=True)
        # These have a length of their own: a result with them must not be indexed as a list of boxes.
        result.add_field("rel_pair_idxs", pairs[order])
        result.add_field("pred_rel_scores", rel_probs[order])
        result.add_field("pred_rel_labels", rel_labels[order] + 1)
        return result


def score_triplets(rel_logits: Tensor, obj_scores: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of pairs.

    Args:
        rel_logits: [m, R].
        obj_scores: [n].
        pairs: int64 [m, 2].

    Returns:
        probabilities of all predicates [m, R]; the likeliest of them, background aside and not counted, int64 [m];
        scores of the triplets [m]
    """
    rel_probs = rel_logits.float().softmax(dim=1)
    rel_scores, rel_labels = rel_probs[:, 1:].max(dim=1)
    return rel_probs, rel_labels, rel_scores * obj_scores[pairs].prod(dim=1)


def make_roi_relation_post_processor(cfg, crops: PairCrops | None = None) -> PostProcessor:
    """What a configuration makes of logits; a second opinion looks through `crops`, if given."""
    return PostProcessor(
        cfg.MODEL.ROI_RELATION_HEAD.USE_GT_BOX,
        cfg.TEST.RELATION.LATER_NMS_PREDICTION_THRES,
        make_second_opinion(cfg, crops),
    )
