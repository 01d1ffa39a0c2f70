import torch
from torch import nn

from maskrcnn_benchmark.modeling.utils import cat

from .utils_motifs import to_onehot


class FrequencyBias(nn.Module):
    def __init__(self, cfg, statistics, eps=1e-3):
        super().__init__()
        pred_dist = statistics["pred_dist"].float()
        self.num_objs, self.num_rels = pred_dist.size(0), pred_dist.size(2)
        self.obj_baseline = nn.Embedding(self.num_objs * self.num_objs, self.num_rels)
        with torch.no_grad():
            self.obj_baseline.weight.copy_(pred_dist.view(-1, self.num_rels))

    def index_with_labels(self, labels):
        return self.obj_baseline(labels[:, 0] * self.num_objs + labels[:, 1])


class ObjectClassifier(nn.Module):
    """What the stand-ins of all contexts do: object logits as SGB's contexts give them, and a linear edge context."""

    def __init__(self, config, obj_classes, in_channels):
        super().__init__()
        self.cfg = config
        self.num_obj_classes = len(obj_classes)
        self.classify = nn.Linear(in_channels, self.num_obj_classes)
        self.edge = nn.Linear(in_channels, config.MODEL.ROI_RELATION_HEAD.CONTEXT_HIDDEN_DIM)

    def encode(self, x, proposals):
        assert proposals[0].mode == "xyxy"
        if self.cfg.MODEL.ROI_RELATION_HEAD.USE_GT_OBJECT_LABEL:
            obj_preds = cat([proposal.get_field("labels") for proposal in proposals], dim=0)
            obj_dists = to_onehot(obj_preds, self.num_obj_classes)
        else:
            obj_dists = self.classify(x)
            obj_preds = obj_dists[:, 1:].max(1)[1] + 1
        return obj_dists, obj_preds, self.edge(x)


class LSTMContext(ObjectClassifier):
    def __init__(self, config, obj_classes, rel_classes, in_channels):
        super().__init__(config, obj_classes, in_channels)

    def forward(self, x, proposals, rel_pair_idxs, logger=None, all_average=False, ctx_average=False):
        obj_dists, obj_preds, edge_ctx = self.encode(x, proposals)
        return obj_dists, obj_preds, edge_ctx, None
