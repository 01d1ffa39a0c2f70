from .model_motifs import ObjectClassifier


class VTransEFeature(ObjectClassifier):
    def __init__(self, config, obj_classes, rel_classes, in_channels):
        super().__init__(config, obj_classes, in_channels)

    def forward(self, x, proposals, rel_pair_idxs, logger=None, all_average=False, ctx_average=False):
        obj_dists = self.classify(x)
        return obj_dists, obj_dists.max(-1)[1], self.edge(x), None
