"""The box head: detections, or, in relation models, the objects between which relations are looked for."""

from __future__ import annotations

from torch import Tensor, nn

from maskrcnn_benchmark.modeling.utils import check_finite
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import InputError

from .inference import make_roi_box_post_processor
from .loss import make_roi_box_loss_evaluator
from .roi_box_feature_extractors import make_roi_box_feature_extractor
from .roi_box_predictors import make_roi_box_predictor
from .sampling import make_roi_box_samp_processor


def add_predict_logits(proposals: list[BoxList], class_logits: Tensor) -> list[BoxList]:
    """Give each image's proposals their rows of the logits [n, O], as the field `predict_logits`."""
    for proposal, logits in zip(proposals, class_logits.split([len(p) for p in proposals]), strict=True):
        proposal.add_field("predict_logits", logits)
    return proposals


class ROIBoxHead(nn.Module):
    """Classifies and refines proposals."""

    def __init__(self, cfg, in_channels: int):
        super().__init__()
        self.cfg = cfg.clone()
        self.feature_extractor = make_roi_box_feature_extractor(cfg, in_channels)
        self.predictor = make_roi_box_predictor(cfg, self.feature_extractor.out_channels)
        self.post_processor = make_roi_box_post_processor(cfg)
        self.loss_evaluator = make_roi_box_loss_evaluator(cfg)
        self.samp_processor = make_roi_box_samp_processor(cfg)

    def forward(
        self, features, proposals: list[BoxList] | None, targets: list[BoxList] | None = None
    ) -> tuple[Tensor | None, list[BoxList], dict[str, Tensor]]:
        """Region features, proposals drawn (training) or detections, and losses by name.

        In relation models there are no losses here: PredCls and SGCls pass the ground-truth boxes on (SGCls with
        `predict_logits`), SGDet the detections, with the labels of what they match where there are targets.

        Raises:
            InputError: ground-truth boxes are asked for and there are none.
        """
        if self.cfg.MODEL.RELATION_ON:
            return self._objects_for_relations(features, proposals, targets)
        if self.training:
            proposals = self.samp_processor.subsample(proposals, targets)
        x = self.feature_extractor(features, proposals)
        class_logits, box_regression = self.predictor(x)
        if not self.training:
            check_finite([class_logits, box_regression], "the detector's scores of objects")
            x, result = self.post_processor((x, class_logits, box_regression), proposals)
            return x, result, {}
        loss_classifier, loss_box_reg = self.loss_evaluator([class_logits], [box_regression], proposals)
        return x, proposals, {"loss_classifier": loss_classifier, "loss_box_reg": loss_box_reg}

    def _objects_for_relations(self, features, proposals, targets):
        head = self.cfg.MODEL.ROI_RELATION_HEAD
        if head.USE_GT_BOX:
            if targets is None:
                raise InputError(
                    "MODEL.ROI_RELATION_HEAD.USE_GT_BOX is True, but the images come without boxes; set it and "
                    "USE_GT_OBJECT_LABEL to False to detect the objects"
                )
            proposals = [target.copy_with_fields(["labels", "attributes"]) for target in targets]
            if head.USE_GT_OBJECT_LABEL:  # nothing is left to find out about the objects
                return None, proposals, {}
            x = self.feature_extractor(features, proposals)
            class_logits, _ = self.predictor(x)
            return x, add_predict_logits(proposals, class_logits), {}
        if targets is not None:
            proposals = self.samp_processor.assign_label_to_proposals(proposals, targets)
        x = self.feature_extractor(features, proposals)
        class_logits, box_regression = self.predictor(x)
        if not self.training:
            check_finite([class_logits, box_regression], "the detector's scores of objects")
        proposals = add_predict_logits(proposals, class_logits)
        x, result = self.post_processor((x, class_logits, box_regression), proposals, relation_mode=True)
        return x, result, {}


def build_roi_box_head(cfg, in_channels: int) -> ROIBoxHead:
    return ROIBoxHead(cfg, in_channels)
