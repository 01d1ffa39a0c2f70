"""The relation predictors: from features of objects and pairs to class logits of both.

Shapes: n objects and m pairs of all images of a batch together, C object classes, R predicates (background first in
both), D roi features, P features of pairs (CONTEXT_POOLING_DIM), H hidden units. Every predictor is called as

    predictor(proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None)
        -> object logits [n_i, C] and predicate logits [m_i, R], a sequence over images each, and losses by name

with, per image, boxes, pairs int64 [m_i, 2] and in training (None otherwise) predicates int64 [m_i] and whether objects
are related [n_i, n_i]; and with features [n, D] and [m, D] of all images. docs/predictors.md says how to add one.
"""

from torch import Tensor, nn

from maskrcnn_benchmark.modeling import registry

from .model_bgnn import BGNNPredictor
from .model_causal import CausalAnalysisPredictor
from .model_gpsnet import GPSNetPredictor
from .model_motifs import LSTMContext
from .model_msg_passing import IMPContext
from .model_penet import PrototypeEmbeddingNetwork
from .model_squat import SquatPredictor
from .model_transformer import TransformerContext
from .model_vctree import VCTreeLSTMContext
from .phrase_prior import make_frequency_bias
from .utils_predictors import RelationPredictor, batch_pairs, relatedness_loss
from .utils_relation import layer_init, pair_linear

for _predictor in (
    BGNNPredictor,
    CausalAnalysisPredictor,
    GPSNetPredictor,
    PrototypeEmbeddingNetwork,
    SquatPredictor,
):
    registry.ROI_RELATION_PREDICTOR.register(_predictor.__name__, _predictor)


class GatedPairPredictor(RelationPredictor):
    """Pairs as the context of both objects times the features of their union box, which one layer classifies.

    Motifs, VCTree and Transformer are this with contexts of their own.
    """

    # Layers from the pairs to the predicates, the one that sees the union box first; and the order in which SGB draws
    # the weights of the layers behind the context.
    classifiers: tuple[str, ...] = ("rel_compress",)
    drawn: tuple[str, ...] = ("post_emb", "post_cat", "rel_compress")

    def __init__(self, config, in_channels):
        super().__init__(config)
        statistics = self.class_statistics(config)
        self.context_layer = self.make_context(config, statistics, in_channels)
        self.post_emb = nn.Linear(self.hidden_dim, self.hidden_dim * 2)
        self.post_cat = nn.Linear(self.hidden_dim * 2, self.pooling_dim)
        for name, width in zip(self.classifiers, (self.pooling_dim, self.hidden_dim * 2), strict=False):
            self.add_module(name, nn.Linear(width, self.num_rel_cls))
        for name in self.drawn:
            normal = name == "post_emb"
            layer_init(getattr(self, name), 10.0 * (1.0 / self.hidden_dim) ** 0.5, normal=normal, xavier=not normal)
        self.use_bias = config.MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS
        if self.use_bias:
            self.freq_bias = make_frequency_bias(config, statistics)

    @property
    def predicate_classifier(self) -> str:
        return self.classifiers[0]

    def make_context(self, config, statistics: dict, in_channels: int) -> nn.Module:
        """The module that gives class logits [n, C], labels int64 [n], an edge context [n, H], and scores of pairs."""
        raise NotImplementedError

    def run_context(self, roi_features, proposals, rel_pair_idxs, logger):
        return self.context_layer(roi_features, proposals, rel_pair_idxs, logger)

    def edges(self, edge_ctx: Tensor) -> Tensor:
        """Every object in the role of a subject and of an object, side by side, [n, 2 H]."""
        return self.post_emb(edge_ctx)

    def classify(self, pair_rep: Tensor, subjects: Tensor, objects: Tensor, pairs: Tensor) -> Tensor:
        """Predicate logits [m, R].

        Args:
            pair_rep: [m, P].
            subjects, objects: [n, H] each.
            pairs: int64 [m, 2], rows of both.
        """
        return getattr(self, self.classifiers[0])(pair_rep)

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        obj_dists, obj_preds, edge_ctx, relatedness = self.run_context(roi_features, proposals, rel_pair_idxs, logger)
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)

        subjects, objects = self.edges(edge_ctx).chunk(2, dim=1)  # [n, H] each
        pair_rep = pair_linear(self.post_cat, subjects, objects, pairs)  # [m, P]
        if union_features is not None:
            pair_rep = pair_rep * self.project_union(union_features)
        rel_dists = self.classify(pair_rep, subjects, objects, pairs)
        if self.use_bias:
            rel_dists = rel_dists + self.freq_bias.index_with_labels(obj_preds[pairs])
        add_losses = {}
        if self.training and relatedness is not None:
            add_losses["binary_loss"] = relatedness_loss(relatedness, rel_binarys)
        return obj_dists.split(num_objs), rel_dists.split(num_rels), add_losses


@registry.ROI_RELATION_PREDICTOR.register("MotifPredictor")
class MotifPredictor(GatedPairPredictor):
    """Neural Motifs (Zellers et al., CVPR 2018)."""

    def make_context(self, config, statistics, in_channels):
        return LSTMContext(config, statistics["obj_classes"], statistics["rel_classes"], in_channels)


@registry.ROI_RELATION_PREDICTOR.register("TransformerPredictor")
class TransformerPredictor(GatedPairPredictor):
    """As Motifs, with Transformer encoders for context and logits from the context alone beside the gated ones."""

    classifiers = ("rel_compress", "ctx_compress")
    drawn = ("post_emb", "rel_compress", "ctx_compress", "post_cat")

    def make_context(self, config, statistics, in_channels):
        return TransformerContext(config, statistics["obj_classes"], statistics["rel_classes"], in_channels)

    def run_context(self, roi_features, proposals, rel_pair_idxs, logger):
        return *self.context_layer(roi_features, proposals, logger), None

    def classify(self, pair_rep, subjects, objects, pairs):
        return self.rel_compress(pair_rep) + pair_linear(self.ctx_compress, subjects, objects, pairs)


@registry.ROI_RELATION_PREDICTOR.register("VCTreePredictor")
class VCTreePredictor(GatedPairPredictor):
    """VCTree (Tang et al., CVPR 2019), with a loss on the scores from which its trees grow."""

    classifiers = ("ctx_compress",)
    drawn = ("post_emb", "post_cat", "ctx_compress")

    def make_context(self, config, statistics, in_channels):
        classes = statistics["obj_classes"], statistics["rel_classes"]
        return VCTreeLSTMContext(config, *classes, statistics, in_channels)

    def edges(self, edge_ctx):
        return self.post_emb(edge_ctx).relu()


@registry.ROI_RELATION_PREDICTOR.register("IMPPredictor")
class IMPPredictor(RelationPredictor):
    """Iterative message passing (Xu et al., CVPR 2017), without a frequency bias unless PHRASE_PRIOR asks for one."""

    pairs_interact = True
    needs_union_features = True
    predicate_classifier = "context_layer.rel_fc"

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


def make_roi_relation_predictor(cfg, in_channels: int) -> nn.Module:
    """The predictor that MODEL.ROI_RELATION_HEAD.PREDICTOR names, for roi features `in_channels` wide."""
    name = cfg.MODEL.ROI_RELATION_HEAD.PREDICTOR
    predictor = registry.lookup(registry.ROI_RELATION_PREDICTOR, name, "MODEL.ROI_RELATION_HEAD.PREDICTOR")
    return predictor(cfg, in_channels)
