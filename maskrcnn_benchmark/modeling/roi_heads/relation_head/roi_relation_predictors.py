"""The relation predictors: from features of objects and pairs to class logits of both.

Shapes: n objects and m pairs of all images of a batch together, C object classes, R predicates (background first in
both), D roi features, P features of pairs (CONTEXT_POOLING_DIM), H hidden units. Every predictor is called as

    predictor(proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None)
        -> object logits [n_i, C] and predicate logits [m_i, R], a sequence over images each, and losses by name

with, per image, boxes, pairs int64 [m_i, 2] and in training (None otherwise) predicates int64 [m_i] and whether objects
are related [n_i, n_i]; and with features [n, D] and [m, D] of all images. docs/predictors.md says how to add one.
"""

from torch import nn

from maskrcnn_benchmark.modeling import registry

from .model_causal import CausalAnalysisPredictor
from .model_motifs import LSTMContext
from .model_msg_passing import IMPContext
from .model_transformer import TransformerContext
from .model_vctree import VCTreeLSTMContext
from .phrase_prior import make_frequency_bias
from .utils_predictors import RelationPredictor, batch_pairs, relatedness_loss
from .utils_relation import layer_init, pair_linear

registry.ROI_RELATION_PREDICTOR.register("CausalAnalysisPredictor", CausalAnalysisPredictor)


@registry.ROI_RELATION_PREDICTOR.register("MotifPredictor")
class MotifPredictor(RelationPredictor):
    """Neural Motifs (Zellers et al., CVPR 2018)."""

    def __init__(self, config, in_channels):
        super().__init__(config)
        statistics = self.class_statistics(config)
        self.context_layer = LSTMContext(config, statistics["obj_classes"], statistics["rel_classes"], in_channels)

        self.post_emb = nn.Linear(self.hidden_dim, self.hidden_dim * 2)
        self.post_cat = nn.Linear(self.hidden_dim * 2, self.pooling_dim)
        self.rel_compress = nn.Linear(self.pooling_dim, self.num_rel_cls)
        layer_init(self.post_emb, 10.0 * (1.0 / self.hidden_dim) ** 0.5, normal=True)
        layer_init(self.post_cat, xavier=True)
        layer_init(self.rel_compress, xavier=True)
        self.use_bias = config.MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS
        if self.use_bias:
            self.freq_bias = make_frequency_bias(config, statistics)

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        obj_dists, obj_preds, edge_ctx, _ = self.context_layer(roi_features, proposals, rel_pair_idxs, logger)
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)

        subjects, objects = self.post_emb(edge_ctx).chunk(2, dim=1)  # [n, H] each
        pair_rep = pair_linear(self.post_cat, subjects, objects, pairs)  # [m, P]
        if union_features is not None:
            pair_rep = pair_rep * self.project_union(union_features)
        rel_dists = self.rel_compress(pair_rep)
        if self.use_bias:
            rel_dists = rel_dists + self.freq_bias.index_with_labels(obj_preds[pairs])
        return obj_dists.split(num_objs), rel_dists.split(num_rels), {}


@registry.ROI_RELATION_PREDICTOR.register("TransformerPredictor")
class TransformerPredictor(RelationPredictor):
    """As Motifs, with Transformer encoders for context and logits from the context alone beside the gated ones."""

    def __init__(self, config, in_channels):
        super().__init__(config)
        statistics = self.class_statistics(config)
        self.context_layer = TransformerContext(
            config, statistics["obj_classes"], statistics["rel_classes"], in_channels
        )

        self.post_emb = nn.Linear(self.hidden_dim, self.hidden_dim * 2)
        self.post_cat = nn.Linear(self.hidden_dim * 2, self.pooling_dim)
        self.rel_compress = nn.Linear(self.pooling_dim, self.num_rel_cls)
        self.ctx_compress = nn.Linear(self.hidden_dim * 2, self.num_rel_cls)
        layer_init(self.post_emb, 10.0 * (1.0 / self.hidden_dim) ** 0.5, normal=True)
        layer_init(self.rel_compress, xavier=True)
        layer_init(self.ctx_compress, xavier=True)
        layer_init(self.post_cat, xavier=True)
        self.use_bias = config.MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS
        if self.use_bias:
            self.freq_bias = make_frequency_bias(config, statistics)

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        obj_dists, obj_preds, edge_ctx = self.context_layer(roi_features, proposals, logger)
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)

        subjects, objects = self.post_emb(edge_ctx).chunk(2, dim=1)  # [n, H] each
        pair_rep = pair_linear(self.post_cat, subjects, objects, pairs)  # [m, P]
        if union_features is not None:
            pair_rep = pair_rep * self.project_union(union_features)
        rel_dists = self.rel_compress(pair_rep) + pair_linear(self.ctx_compress, subjects, objects, pairs)
        if self.use_bias:
            rel_dists = rel_dists + self.freq_bias.index_with_labels(obj_preds[pairs])
        return obj_dists.split(num_objs), rel_dists.split(num_rels), {}


@registry.ROI_RELATION_PREDICTOR.register("IMPPredictor")
class IMPPredictor(RelationPredictor):
    """Iterative message passing (Xu et al., CVPR 2017), without a frequency bias unless PHRASE_PRIOR asks for one."""

    needs_union_features = True

    def __init__(self, config, in_channels):
        super().__init__(config)
        self.context_layer = IMPContext(config, self.num_obj_cls, self.num_rel_cls, in_channels)
        self.use_bias = config.MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR.ON
        if self.use_bias:
            self.freq_bias = make_frequency_bias(config, self.class_statistics(config))

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        obj_dists, rel_dists = self.context_layer(
            roi_features, proposals, self.project_union(union_features), rel_pair_idxs, logger
        )
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)
        if self.use_bias:
            obj_preds = obj_dists[:, 1:].argmax(dim=1) + 1
            rel_dists = rel_dists + self.freq_bias.index_with_labels(obj_preds[pairs])
        return obj_dists.split(num_objs), rel_dists.split(num_rels), {}


@registry.ROI_RELATION_PREDICTOR.register("VCTreePredictor")
class VCTreePredictor(RelationPredictor):
    """VCTree (Tang et al., CVPR 2019), with a loss on the scores from which its trees grow."""

    def __init__(self, config, in_channels):
        super().__init__(config)
        statistics = self.class_statistics(config)
        self.context_layer = VCTreeLSTMContext(
            config, statistics["obj_classes"], statistics["rel_classes"], statistics, in_channels
        )

        self.post_emb = nn.Linear(self.hidden_dim, self.hidden_dim * 2)
        self.post_cat = nn.Linear(self.hidden_dim * 2, self.pooling_dim)
        self.ctx_compress = nn.Linear(self.pooling_dim, self.num_rel_cls)
        layer_init(self.post_emb, 10.0 * (1.0 / self.hidden_dim) ** 0.5, normal=True)
        layer_init(self.post_cat, xavier=True)
        layer_init(self.ctx_compress, xavier=True)
        self.use_bias = config.MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS
        if self.use_bias:
            self.freq_bias = make_frequency_bias(config, statistics)

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        obj_dists, obj_preds, edge_ctx, binary_preds = self.context_layer(
            roi_features, proposals, rel_pair_idxs, logger
        )
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)

        subjects, objects = self.post_emb(edge_ctx).relu().chunk(2, dim=1)  # [n, H] each
        pair_rep = pair_linear(self.post_cat, subjects, objects, pairs)  # [m, P]
        if union_features is not None:
            pair_rep = pair_rep * self.project_union(union_features)
        rel_dists = self.ctx_compress(pair_rep)
        if self.use_bias:
            rel_dists = rel_dists + self.freq_bias.index_with_labels(obj_preds[pairs])
        add_losses = {"binary_loss": relatedness_loss(binary_preds, rel_binarys)} if self.training else {}
        return obj_dists.split(num_objs), rel_dists.split(num_rels), add_losses


def make_roi_relation_predictor(cfg, in_channels: int) -> nn.Module:
    """The predictor that MODEL.ROI_RELATION_HEAD.PREDICTOR names, for roi features `in_channels` wide."""
    name = cfg.MODEL.ROI_RELATION_HEAD.PREDICTOR
    predictor = registry.lookup(registry.ROI_RELATION_PREDICTOR, name, "MODEL.ROI_RELATION_HEAD.PREDICTOR")
    return predictor(cfg, in_channels)
