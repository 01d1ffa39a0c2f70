import torch
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.data import get_dataset_statistics
from maskrcnn_benchmark.modeling import registry

from .model_motifs import FrequencyBias, LSTMContext
from .model_transformer import TransformerContext
from .model_vctree import VCTreeLSTMContext
from .model_vtranse import VTransEFeature
from .utils_relation import layer_init


class PairPredictor(nn.Module):
    """What the stand-ins of all predictors do; layers have the names that SGB's predictors give them."""

    classifiers = ("rel_compress",)

    def __init__(self, config, in_channels):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        statistics = get_dataset_statistics(config)
        self.num_rel_cls = head.NUM_CLASSES
        self.hidden_dim, self.pooling_dim = head.CONTEXT_HIDDEN_DIM, head.CONTEXT_POOLING_DIM
        self.context_layer = self.make_context(config, statistics, in_channels)
        self.post_emb = nn.Linear(self.hidden_dim, self.hidden_dim * 2)
        self.post_cat = nn.Linear(self.hidden_dim * 2, self.pooling_dim)
        for name in self.classifiers:
            width = self.hidden_dim * 2 if (type(self).__name__, name) == WIDE else self.pooling_dim
            layer = nn.Linear(width, self.num_rel_cls)
            layer_init(layer, xavier=True)
            setattr(self, name, layer)
        self.union_single_not_match = self.pooling_dim != config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM
        if self.union_single_not_match:
            self.up_dim = nn.Linear(config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM, self.pooling_dim)
        self.freq_bias = FrequencyBias(config, statistics)

    def make_context(self, config, statistics, in_channels):
        return LSTMContext(config, statistics["obj_classes"], statistics["rel_classes"], in_channels)

    def run_context(self, roi_features, proposals, rel_pair_idxs, logger):
        return self.context_layer(roi_features, proposals, rel_pair_idxs, logger)

    def edges(self, edge_ctx):
        return self.post_emb(edge_ctx)

    def classify(self, pair_rep, gate):
        return self.rel_compress(gate)

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        assert len(proposals) == len(rel_pair_idxs)
        obj_dists, obj_preds, edge_ctx, binary_preds = self.run_context(roi_features, proposals, rel_pair_idxs, logger)
        num_objs, num_rels = [len(p) for p in proposals], [p.shape[0] for p in rel_pair_idxs]
        head_rep, tail_rep = self.edges(edge_ctx).view(-1, 2, self.hidden_dim).unbind(1)
        prod_reps, pair_preds = [], []
        first = 0
        for pairs, count in zip(rel_pair_idxs, num_objs):  # noqa: B905  (SGB's Python is older)
            heads, tails = (pairs + first).unbind(1)
            prod_reps.append(torch.cat((head_rep[heads], tail_rep[tails]), dim=-1))
            pair_preds.append(torch.stack((obj_preds[heads], obj_preds[tails]), dim=1))
            first += count
        pair_rep = torch.cat(prod_reps)
        if self.union_single_not_match:
            union_features = self.up_dim(union_features)
        rel_dists = self.classify(pair_rep, self.post_cat(pair_rep) * union_features)
        rel_dists = rel_dists + self.freq_bias.index_with_labels(torch.cat(pair_preds).long())
        add_losses = {}
        if self.training and binary_preds is not None:
            losses = map(F.binary_cross_entropy_with_logits, binary_preds, [b.float() for b in rel_binarys])
            add_losses["binary_loss"] = sum(losses)
        return obj_dists.split(num_objs, dim=0), rel_dists.split(num_rels, dim=0), add_losses


WIDE = ("TransformerPredictor", "ctx_compress")


@registry.ROI_RELATION_PREDICTOR.register("MotifPredictor")
class MotifPredictor(PairPredictor):
    pass


@registry.ROI_RELATION_PREDICTOR.register("TransformerPredictor")
class TransformerPredictor(PairPredictor):
    classifiers = ("rel_compress", "ctx_compress")

    def make_context(self, config, statistics, in_channels):
        return TransformerContext(config, statistics["obj_classes"], statistics["rel_classes"], in_channels)

    def run_context(self, roi_features, proposals, rel_pair_idxs, logger):
        return (*self.context_layer(roi_features, proposals, logger), None)

    def classify(self, pair_rep, gate):
        return self.rel_compress(gate) + self.ctx_compress(pair_rep)


@registry.ROI_RELATION_PREDICTOR.register("VCTreePredictor")
class VCTreePredictor(PairPredictor):
    classifiers = ("ctx_compress",)

    def make_context(self, config, statistics, in_channels):
        classes = statistics["obj_classes"], statistics["rel_classes"]
        return VCTreeLSTMContext(config, *classes, statistics, in_channels)

    def edges(self, edge_ctx):
        return F.relu(self.post_emb(edge_ctx))

    def classify(self, pair_rep, gate):
        return self.ctx_compress(gate)


@registry.ROI_RELATION_PREDICTOR.register("CausalAnalysisPredictor")
class CausalAnalysisPredictor(PairPredictor):
    classifiers = ("ctx_compress", "vis_compress")

    def make_context(self, config, statistics, in_channels):
        assert config.MODEL.ROI_RELATION_HEAD.CAUSAL.CONTEXT_LAYER == "vtranse"
        return VTransEFeature(config, statistics["obj_classes"], statistics["rel_classes"], in_channels)

    def classify(self, pair_rep, gate):
        return self.vis_compress(gate) + self.ctx_compress(self.post_cat(pair_rep))


def make_roi_relation_predictor(cfg, in_channels):
    func = registry.ROI_RELATION_PREDICTOR[cfg.MODEL.ROI_RELATION_HEAD.PREDICTOR]
    return func(cfg, in_channels)
