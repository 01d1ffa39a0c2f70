"""The causal predictor of "Unbiased Scene Graph Generation from Biased Training" (Tang et al., CVPR 2020).

Shapes as in roi_relation_predictors.py.
"""

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.utils.errors import InputError

from .loss import mean_cross_entropy
from .model_motifs import LSTMContext
from .model_vctree import VCTreeLSTMContext
from .model_vtranse import VTransEFeature
from .phrase_prior import make_frequency_bias
from .utils_motifs import UntreatedMeans
from .utils_predictors import RelationPredictor, batch_pairs, relatedness_loss
from .utils_relation import get_box_info, get_box_pair_info, layer_init, pair_linear


class CausalAnalysisPredictor(UntreatedMeans, RelationPredictor):
    """Unbiased scene graphs by causal effects (Tang et al., CVPR 2020), on the context of Motifs, VCTree or VTransE.

    Three branches, each able to predict alone: the union box's image features, the context of subject and object, and
    the frequency bias; they are added up, or the others gate the context (FUSION_TYPE). With EFFECT_TYPE the output
    is a difference between what was seen and a counterfactual in which context or labels come from average features:
    TDE, total direct effect of the context; NIE, natural indirect effect of the labels; TE, both.
    """

    needs_union_features = True
    takes_separate_spatial = True
    predicate_classifier = "vis_compress"

    def __init__(self, config, in_channels):
        super().__init__(config)
        head = config.MODEL.ROI_RELATION_HEAD
        causal = head.CAUSAL
        self.fusion_type = choice(causal, "FUSION_TYPE", ("sum", "gate"))
        self.effect_type = choice(causal, "EFFECT_TYPE", ("none", "TDE", "NIE", "TE"))
        self.use_vtranse = choice(causal, "CONTEXT_LAYER", ("motifs", "vctree", "vtranse")) == "vtranse"
        self.spatial_for_vision = causal.SPATIAL_FOR_VISION
        self.separate_spatial = causal.SEPARATE_SPATIAL
        if self.up_dim is not None:
            raise InputError(
                f"CausalAnalysisPredictor needs MODEL.ROI_RELATION_HEAD.CONTEXT_POOLING_DIM ({self.pooling_dim}) "
                f"to be MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM ({config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM})."
            )
        if self.effect_type != "none" and not causal.EFFECT_ANALYSIS:
            raise InputError(
                f"MODEL.ROI_RELATION_HEAD.CAUSAL.EFFECT_TYPE {self.effect_type} needs the average features that "
                "CAUSAL.EFFECT_ANALYSIS True keeps in training; set it."
            )

        statistics = self.class_statistics(config)
        classes = statistics["obj_classes"], statistics["rel_classes"]
        if causal.CONTEXT_LAYER == "motifs":
            self.context_layer = LSTMContext(config, *classes, in_channels)
        elif causal.CONTEXT_LAYER == "vctree":
            self.context_layer = VCTreeLSTMContext(config, *classes, statistics, in_channels)
        else:
            self.context_layer = VTransEFeature(config, *classes, in_channels)

        if self.use_vtranse:
            self.post_emb = nn.Linear(self.hidden_dim, self.pooling_dim * 2)
            self.ctx_compress = nn.Linear(self.pooling_dim, self.num_rel_cls, bias=False)
        else:
            self.post_emb = nn.Linear(self.hidden_dim, self.hidden_dim * 2)
            self.post_cat = nn.Sequential(nn.Linear(self.hidden_dim * 2, self.pooling_dim), nn.ReLU(inplace=True))
            self.ctx_compress = nn.Linear(self.pooling_dim, self.num_rel_cls)
            layer_init(self.post_cat[0], xavier=True)
            layer_init(self.ctx_compress, xavier=True)
        layer_init(self.post_emb, 10.0 * (1.0 / self.hidden_dim) ** 0.5, normal=True)
        self.vis_compress = nn.Linear(self.pooling_dim, self.num_rel_cls)
        layer_init(self.vis_compress, xavier=True)
        if self.fusion_type == "gate":
            self.ctx_gate_fc = nn.Linear(self.pooling_dim, self.num_rel_cls)
            layer_init(self.ctx_gate_fc, xavier=True)
        self.freq_bias = make_frequency_bias(config, statistics)
        if self.spatial_for_vision:
            self.spt_emb = nn.Sequential(
                nn.Linear(32, self.hidden_dim),
                nn.ReLU(inplace=True),
                nn.Linear(self.hidden_dim, self.pooling_dim),
                nn.ReLU(inplace=True),
            )
            layer_init(self.spt_emb[0], xavier=True)
            layer_init(self.spt_emb[2], xavier=True)

        # Averages over training of what a counterfactual puts in place of what was seen.
        self.register_buffer("untreated_spt", torch.zeros(32))
        self.register_buffer("untreated_conv_spt", torch.zeros(self.pooling_dim))
        self.register_buffer("avg_post_ctx", torch.zeros(self.pooling_dim))
        self.register_buffer("untreated_feat", torch.zeros(self.pooling_dim))

    def pair_feature_generate(self, roi_features, proposals, rel_pair_idxs, pairs, logger=None, ctx_average=False):
        """Context of pairs, from own features or, with `ctx_average`, from average ones.

        Args:
            pairs: (subject, object) as indices into the objects of all images, int64 [m, 2]

        Returns:
            representation of pairs [m, P]; class logits [n, C], labels int64 [n] and pair scores of the context layer
        """
        obj_dists, obj_preds, edge_ctx, binary_preds = self.context_layer(
            roi_features, proposals, rel_pair_idxs, logger, ctx_average=ctx_average
        )
        subjects, objects = self.post_emb(edge_ctx).chunk(2, dim=1)
        if self.use_vtranse:
            pair_rep = subjects.index_select(0, pairs[:, 0]) - objects.index_select(0, pairs[:, 1])
        else:
            pair_rep = self.post_cat[1](pair_linear(self.post_cat[0], subjects, objects, pairs))
        return pair_rep, obj_dists, obj_preds, binary_preds

    def calculate_logits(self, vis_rep: Tensor, ctx_rep: Tensor, frq_dists: Tensor) -> Tensor:
        """Predicate logits [m, R] from image features and context, [m, P] or [1, P] each, and the bias [m, R]."""
        vis_dists, ctx_dists = self.vis_compress(vis_rep), self.ctx_compress(ctx_rep)
        if self.fusion_type == "gate":
            return ctx_dists * torch.sigmoid(vis_dists + frq_dists + self.ctx_gate_fc(ctx_rep))
        return vis_dists + ctx_dists + frq_dists

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)
        pair_rep, obj_dists, obj_preds, binary_preds = self.pair_feature_generate(
            roi_features, proposals, rel_pair_idxs, pairs, logger
        )
        if self.separate_spatial:
            union_features, spatial_features = union_features
            pair_rep = pair_rep * spatial_features
        if self.spatial_for_vision:
            box_infos = torch.cat([get_box_info(p.bbox, need_norm=True, proposal=p) for p in proposals])
            pair_boxes = get_box_pair_info(box_infos[pairs[:, 0]], box_infos[pairs[:, 1]])  # [m, 32]
            pair_rep = pair_rep * self.spt_emb(pair_boxes)

        add_losses = {}
        if self.training or self.effect_type == "none":
            frq_dists = self.freq_bias.index_with_labels(obj_preds[pairs])
            rel_dists = self.calculate_logits(union_features, pair_rep, frq_dists)
        else:
            average_rep, average_obj_dists, _, _ = self.pair_feature_generate(
                roi_features, proposals, rel_pair_idxs, pairs, logger, ctx_average=True
            )
            if self.separate_spatial:
                average_rep = average_rep * self.untreated_conv_spt
            if self.spatial_for_vision:
                average_rep = average_rep * self.spt_emb(self.untreated_spt[None])
            rel_dists = self._effect(union_features, pairs, pair_rep, obj_dists, average_rep, average_obj_dists)

        if self.training:
            if binary_preds is not None:
                add_losses["binary_loss"] = relatedness_loss(binary_preds, rel_binarys)
            # each branch shall be able to predict by itself
            labels = torch.cat(list(rel_labels))
            add_losses["auxiliary_ctx"] = mean_cross_entropy(self.ctx_compress(pair_rep), labels)
            if self.fusion_type == "sum":
                add_losses["auxiliary_vis"] = mean_cross_entropy(self.vis_compress(union_features), labels)
                add_losses["auxiliary_frq"] = mean_cross_entropy(frq_dists, labels)

            if self.spatial_for_vision:
                self.untreated_spt = self.moving_average(self.untreated_spt, pair_boxes)
            if self.separate_spatial:
                self.untreated_conv_spt = self.moving_average(self.untreated_conv_spt, spatial_features)
            self.avg_post_ctx = self.moving_average(self.avg_post_ctx, pair_rep)
            self.untreated_feat = self.moving_average(self.untreated_feat, union_features)
        return obj_dists.split(num_objs), rel_dists.split(num_rels), add_losses

    def _effect(self, union_features, pairs, pair_rep, obj_dists, average_rep, average_obj_dists):
        """Seen minus counterfactual logits, [m, R]; the bias is the mean under the class probabilities of both."""
        seen_bias = self.freq_bias.index_with_object_probability(obj_dists.float().softmax(dim=1), pairs)
        average_bias = seen_bias
        if self.effect_type != "TDE":
            probabilities = average_obj_dists.float().softmax(dim=1)
            average_bias = self.freq_bias.index_with_object_probability(probabilities, pairs)
        seen_rep = average_rep if self.effect_type == "NIE" else pair_rep
        return self.calculate_logits(union_features, seen_rep, seen_bias) - self.calculate_logits(
            union_features, average_rep, average_bias
        )


def choice(causal, key: str, options: tuple[str, ...]) -> str:
    """The value of a key of the CAUSAL node, which must be one of the options."""
    if causal[key] not in options:
        raise InputError(
            f"MODEL.ROI_RELATION_HEAD.CAUSAL.{key} is {causal[key]!r}; choose one of {', '.join(options)}."
        )
    return causal[key]
