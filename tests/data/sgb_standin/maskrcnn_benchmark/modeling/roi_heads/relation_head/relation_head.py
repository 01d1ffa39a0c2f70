from .roi_relation_predictors import make_roi_relation_predictor


class ROIRelationHead:
    """What the installer looks at: how the head calls its predictor, and what it does with the results."""

    def __init__(self, cfg, in_channels):
        self.predictor = make_roi_relation_predictor(cfg, in_channels)
        self.loss_evaluator = self.samp_processor = self.union_feature_extractor = None  # parts of SGB

    def forward(self, features, proposals, targets=None, logger=None):
        proposals, rel_labels, rel_pair_idxs, rel_binarys = self.samp_processor(proposals, targets)
        roi_features, union_features = self.union_feature_extractor(features, proposals, rel_pair_idxs)
        refine_logits, relation_logits, add_losses = self.predictor(
            proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger
        )
        loss_relation, loss_refine = self.loss_evaluator(proposals, rel_labels, relation_logits, refine_logits)
        return roi_features, proposals, {"loss_rel": loss_relation, "loss_refine_obj": loss_refine, **add_losses}
