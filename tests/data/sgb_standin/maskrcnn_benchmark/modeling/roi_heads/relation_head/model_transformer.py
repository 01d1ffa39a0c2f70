from .model_motifs import ObjectClassifier


class TransformerContext(ObjectClassifier):
    def __init__(self, config, obj_classes, rel_classes, in_channels):
        super().__init__(config, obj_classes, in_channels)

    def forward(self, roi_features, proposals, logger=None):
        return self.encode(roi_features, proposals)
