"""The relation head: from proposals to pairs, features of both, a predictor, and losses or scored triplets."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.language.phrase_bank import phrase_tables
from maskrcnn_benchmark.modeling.language.vocabulary import Calibration
from maskrcnn_benchmark.modeling.roi_heads.box_head.roi_box_feature_extractors import make_roi_box_feature_extractor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.global_batch import share_of
from maskrcnn_benchmark.utils.transfer import parts_to_device, to_device

from .debiasing import make_predicate_loss, make_test_adjustment
from .inference import make_roi_relation_post_processor
from .loss import make_roi_relation_loss_evaluator
from .pair_search import first_triplets, score_pairs
from .roi_relation_feature_extractors import make_roi_relation_feature_extractor
from .roi_relation_predictors import make_roi_relation_predictor
from .sampling import make_roi_relation_samp_processor


class ROIRelationHead(nn.Module):
    """Relations between the objects of each image.

    Its feature extractors have the box head's structure and start from the box head's weights, but learn on their own
    at a lower rate, while the detector stays as it is.
    """

    def __init__(self, cfg, in_channels: int):
        super().__init__()
        head = cfg.MODEL.ROI_RELATION_HEAD
        self.use_gt_box = head.USE_GT_BOX
        self.use_union_box = head.PREDICT_USE_VISION
        self.num_obj_classes, self.num_rel_classes = cfg.MODEL.ROI_BOX_HEAD.NUM_CLASSES, head.NUM_CLASSES
        self.union_feature_extractor = make_roi_relation_feature_extractor(cfg, in_channels)
        self.box_feature_extractor = make_roi_box_feature_extractor(cfg, in_channels)
        self.predictor = make_roi_relation_predictor(cfg, self.box_feature_extractor.out_channels)
        self.post_processor = make_roi_relation_post_processor(cfg)
        self.loss_evaluator = make_roi_relation_loss_evaluator(cfg, make_predicate_loss(cfg, self.predictor))
        self.test_adjustment = make_test_adjustment(cfg)
        self.first_triplets = first_triplets(cfg)
        self.samp_processor = make_roi_relation_samp_processor(cfg)

    def forward(
        self,
        features: Sequence[Tensor],
        proposals: Sequence[BoxList],
        targets: Sequence[BoxList] | None = None,
        logger=None,
        images: Tensor | None = None,
    ) -> tuple[Tensor, Sequence[BoxList], dict[str, Tensor]]:
        """Losses in training, predictions otherwise.

        Args:
            features: feature maps, one per level.
            proposals: boxes of each image; in SGDet detections, after regression and suppression.
            targets: ground truth with the field `relation`, in training.
            logger: passed on to the predictor.
            images: pixels [B, C, H, W] as the detector takes them, for a second opinion in evaluation.

        Returns:
            roi features [n, D]; the proposals in training, predictions (`PostProcessor`) otherwise; losses by name,
            none outside of training
        """
        if not self.training:
            return self._predict(features, proposals, logger, images)
        with torch.no_grad():
            sample = self.samp_processor.gtbox_relsample if self.use_gt_box else self.samp_processor.detect_relsample
            proposals, rel_labels, rel_pair_idxs, rel_binarys = sample(proposals, targets)
        roi_features = self.box_feature_extractor(features, proposals)
        union_features = self.union_features(features, proposals, rel_pair_idxs)
        known = {}
        if getattr(self.predictor, "takes_foreground", False):  # found on the host, it is not waited for
            rows = np.flatnonzero(torch.cat(rel_labels).cpu().numpy() > 0)
            known["foreground"] = to_device(torch.from_numpy(rows), roi_features.device)
        rel_pair_idxs = parts_to_device(rel_pair_idxs, roi_features.device)
        rel_labels = parts_to_device(rel_labels, roi_features.device)
        rel_binarys = [to_device(related, roi_features.device) for related in rel_binarys]
        inputs, rel_binarys = self._prepare(proposals, targets, rel_binarys)
        refine_logits, relation_logits, add_losses = self.predictor(
            inputs, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger, **known
        )[:3]
        for name in getattr(self.predictor, "means_over_foreground", ()):
            add_losses[name] = add_losses[name] * share_of((torch.cat(list(rel_labels)) > 0).sum())
        loss_relation, loss_refine = self.loss_evaluator(proposals, rel_labels, relation_logits, refine_logits)
        losses = {"loss_rel": loss_relation, "loss_refine_obj": loss_refine, **add_losses}
        if not getattr(self.predictor, "learns_objects", True):
            del losses["loss_refine_obj"]
        return roi_features, proposals, losses

    def set_predicates(self, names: Sequence[str] | None, calibration: Calibration | None = None) -> None:
        """Score these predicates in evaluation, by any names; None: those of the data set.

        Args:
            calibration: of the scale of predicates that training never showed.

        Raises:
            InputError: a predictor that scores no phrases.
        """
        relclip = getattr(self.predictor, "relclip", None)
        if relclip is None:
            if names is None:
                return
            raise InputError(
                f"other predicates need a predictor that scores phrases, RelCLIPPredictor; found "
                f"{type(self.predictor).__name__}"
            )
        relclip.calibration = calibration or Calibration()
        relclip.set_predicates(names)
        opinion = self.post_processor.second_opinion
        if opinion is not None:
            opinion.set_tables(phrase_tables(relclip.config, relclip.objects, list(names or relclip.predicates)))

    def _predict(self, features, proposals, logger, images):
        rel_pair_idxs = self.samp_processor.prepare_test_pairs(features[0].device, proposals)
        inputs, _ = self._prepare(proposals)
        roi_features = self.box_feature_extractor(features, proposals)
        obj_logits, rel_pair_idxs, rel_logits = score_pairs(self, features, inputs, rel_pair_idxs, roi_features, logger)
        if not getattr(self.predictor, "refines_objects", True):
            obj_logits = [proposal.get_field("predict_logits") for proposal in inputs]
        return roi_features, self.post_processor((rel_logits, obj_logits), rel_pair_idxs, proposals, images), {}

    def _prepare(self, proposals, targets=None, rel_binarys=None):
        """What the predictor is to see of the objects, and whether they are related, if it has a say in that."""
        prepare = getattr(self.predictor, "prepare_inputs", None)
        return (proposals, rel_binarys) if prepare is None else prepare(proposals, targets, rel_binarys)

    def logits(self, proposals, rel_pair_idxs, roi_features, union_features, logger=None):
        """Outside of training, logits of objects [n_i, C] and of the pairs given, [m_i, R], a sequence each."""
        objects, relations = self.predictor(proposals, rel_pair_idxs, None, None, roi_features, union_features, logger)[
            :2
        ]
        if self.test_adjustment is not None:
            relations = [self.test_adjustment(logits) for logits in relations]
        return objects, relations

    def union_features(self, features, proposals, rel_pair_idxs):
        """Features of pairs, see `RelationFeatureExtractor`; None without PREDICT_USE_VISION."""
        return self.union_feature_extractor(features, proposals, rel_pair_idxs) if self.use_union_box else None


def build_roi_relation_head(cfg, in_channels: int) -> ROIRelationHead:
    return ROIRelationHead(cfg, in_channels)
