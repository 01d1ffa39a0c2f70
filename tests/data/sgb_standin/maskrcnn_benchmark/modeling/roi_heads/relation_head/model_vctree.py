from .model_motifs import ObjectClassifier


class VCTreeLSTMContext(ObjectClassifier):
    def __init__(self, config, obj_classes, rel_classes, statistics, in_channels):
        super().__init__(config, obj_classes, in_channels)
        assert statistics["pred_dist"].float().sum(-1).dim() == 2

    def forward(self, x, proposals, rel_pair_idxs, logger=None, all_average=False, ctx_average=False):
        obj_dists, obj_preds, edge_ctx = self.encode(x, proposals)
        scores = [feat @ feat.t() for feat in edge_ctx.split([len(p) for p in proposals], dim=0)]
        return obj_dists, obj_preds, edge_ctx, scores
