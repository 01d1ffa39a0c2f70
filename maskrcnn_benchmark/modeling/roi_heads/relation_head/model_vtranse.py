"""Features of VTransE (Zhang et al., CVPR 2017): each object by itself, a relation as a translation between two.

Shapes: n objects of all images of a batch together, C object classes (background first), D roi features, E word
embeddings, H hidden units.
"""

import torch
from torch import nn

from maskrcnn_benchmark.modeling.make_layers import make_fc

from .context_memory import depends_on_objects_only
from .utils_motifs import UntreatedMeans, embed_labels, encode_box_info, object_word_vectors, position_embedding
from .utils_relation import relation_task


class VTransEFeature(UntreatedMeans):
    """A context in form only: no object sees another one.

    As in SGB its labels are always its own predictions, also where labels are given.
    """

    def __init__(self, config, obj_classes, rel_classes, in_channels):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        self.mode = relation_task(config)
        self.effect_analysis = head.CAUSAL.EFFECT_ANALYSIS
        input_dim = in_channels + head.EMBED_DIM + 128

        word_vectors = object_word_vectors(config, obj_classes)
        self.obj_embed1 = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.obj_embed2 = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.pos_embed = position_embedding()
        self.pred_layer = make_fc(input_dim, len(obj_classes))
        self.fc_layer = make_fc(input_dim, head.CONTEXT_HIDDEN_DIM)
        if self.effect_analysis:
            self.register_buffer("untreated_obj_feat", torch.zeros(input_dim))
            self.register_buffer("untreated_edg_feat", torch.zeros(in_channels + 128))

    @depends_on_objects_only
    def forward(self, x, proposals, rel_pair_idxs, logger=None, all_average=False, ctx_average=False):
        """Features of the objects of all images.

        Args:
            x: roi features, [n, D]
            proposals: boxes with `labels` (PredCls) or `predict_logits` (otherwise).
            all_average, ctx_average: put average features in place of an object's own; only with EFFECT_ANALYSIS, and
                not in training.

        Returns:
            class logits [n, C], labels int64 [n], features [n, H], and None for the pair scores that VCTree has
        """
        obj_embed = embed_labels(self.obj_embed1, proposals, use_gt_label=self.mode == "predcls")
        pos_embed = self.pos_embed(encode_box_info(proposals))

        if (all_average or ctx_average) and self.effect_analysis and not self.training:
            obj_dists = self.pred_layer(self.untreated_obj_feat.expand(len(x), -1))
            edges = self.untreated_edg_feat.expand(len(x), -1)
            obj_embed2 = obj_dists.float().softmax(dim=1) @ self.obj_embed2.weight
        else:
            obj_feats = torch.cat((x, obj_embed, pos_embed), dim=1)
            obj_dists = self.pred_layer(obj_feats)
            edges = torch.cat((x, pos_embed), dim=1)
            obj_embed2 = self.obj_embed2(obj_dists.argmax(dim=1))
            if self.training and self.effect_analysis:
                self.untreated_obj_feat = self.moving_average(self.untreated_obj_feat, obj_feats)
                self.untreated_edg_feat = self.moving_average(self.untreated_edg_feat, edges)

        edge_ctx = self.fc_layer(torch.cat((edges, obj_embed2), dim=1)).relu()
        return obj_dists, obj_dists.argmax(dim=1), edge_ctx, None
