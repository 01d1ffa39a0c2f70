"""The relation predictors: from features of objects and pairs to class logits of both.

Shapes: n objects and m pairs of all images of a batch together, C object classes, R predicates (background first in
both), D roi features, P pooled features of pairs (CONTEXT_POOLING_DIM), H hidden units. Every predictor is called as

    predictor(proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None)
        -> object logits [n_i, C] and predicate logits [m_i, R], a sequence over images each, and losses by name

with boxes, pairs int64 [m_i, 2], in training predicates int64 [m_i] and relatedness of objects [n_i, n_i] (None
otherwise) per image, and features [n, D] and [m, D] of all images. docs/predictors.md says how to add one.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.utils.errors import InputError

from .model_motifs import FrequencyBias, LSTMContext
from .utils_relation import global_pairs, layer_init, pair_linear


class RelationPredictor(nn.Module):
    """Base of the predictors: sizes, class names, and the projection of union features to CONTEXT_POOLING_DIM."""

    def __init__(self, config):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        self.num_obj_cls = config.MODEL.ROI_BOX_HEAD.NUM_CLASSES
        self.num_rel_cls = head.NUM_CLASSES
        self.hidden_dim = head.CONTEXT_HIDDEN_DIM
        self.pooling_dim = head.CONTEXT_POOLING_DIM
        self.up_dim = None
        if self.pooling_dim != config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM:
            self.up_dim = nn.Linear(config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM, self.pooling_dim)
            layer_init(self.up_dim, xavier=True)

    def class_statistics(self, config) -> dict:
        """Statistics of the training set, after a look at whether the configured class counts fit it."""
        statistics = get_dataset_statistics(config)
        for key, number, names, kind in (
            ("MODEL.ROI_BOX_HEAD.NUM_CLASSES", self.num_obj_cls, statistics["obj_classes"], "object classes"),
            ("MODEL.ROI_RELATION_HEAD.NUM_CLASSES", self.num_rel_cls, statistics["rel_classes"], "predicates"),
        ):
            if number != len(names):
                raise InputError(
                    f"{key} is {number}, but the data set has {len(names)} {kind} with the background; "
                    f"set it to {len(names)}."
                )
        return statistics

    def project_union(self, union_features: Tensor) -> Tensor:
        """[m, D] -> [m, P]"""
        return union_features if self.up_dim is None else self.up_dim(union_features)


def batch_pairs(proposals, rel_pair_idxs: Sequence[Tensor]) -> tuple[Tensor, list[int], list[int]]:
    """Pairs as indices into the objects of all images, int64 [m, 2], and how many objects and pairs each image has."""
    num_objs = [len(p) for p in proposals]
    return global_pairs(rel_pair_idxs, num_objs), num_objs, [len(pairs) for pairs in rel_pair_idxs]


@registry.ROI_RELATION_PREDICTOR.register("MotifPredictor")
class MotifPredictor(RelationPredictor):
    """Neural Motifs (Zellers et al., CVPR 2018)."""

    def __init__(self, config, in_channels):
        super().__init__(config)
        head = config.MODEL.ROI_RELATION_HEAD
        statistics = self.class_statistics(config)
        self.context_layer = LSTMContext(config, statistics["obj_classes"], statistics["rel_classes"], in_channels)

        self.post_emb = nn.Linear(self.hidden_dim, self.hidden_dim * 2)
        self.post_cat = nn.Linear(self.hidden_dim * 2, self.pooling_dim)
        self.rel_compress = nn.Linear(self.pooling_dim, self.num_rel_cls)
        layer_init(self.post_emb, 10.0 * (1.0 / self.hidden_dim) ** 0.5, normal=True)
        layer_init(self.post_cat, xavier=True)
        layer_init(self.rel_compress, xavier=True)
        self.use_bias = head.PREDICT_USE_BIAS
        if self.use_bias:
            self.freq_bias = FrequencyBias(config, statistics)

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


def make_roi_relation_predictor(cfg, in_channels: int) -> nn.Module:
    """The predictor that MODEL.ROI_RELATION_HEAD.PREDICTOR names, for roi features `in_channels` wide."""
    name = cfg.MODEL.ROI_RELATION_HEAD.PREDICTOR
    predictor = registry.lookup(registry.ROI_RELATION_PREDICTOR, name, "MODEL.ROI_RELATION_HEAD.PREDICTOR")
    return predictor(cfg, in_channels)
