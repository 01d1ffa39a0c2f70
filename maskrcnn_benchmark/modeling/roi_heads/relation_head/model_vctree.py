"""VCTree (Tang et al., CVPR 2019): context by LSTMs over a tree of the objects of each image.

Shapes: n objects of all images of a batch together, C object classes (background first), D roi features, E word
embeddings, H hidden units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.structures.bounding_box import BoxList

from .context_memory import depends_on_objects_only
from .utils_motifs import (
    ObjectContext,
    RowBatchNorm1d,
    embed_labels,
    encode_box_info,
    object_word_vectors,
    to_onehot,
)
from .utils_relation import layer_init
from .utils_treelstm import CELLS, MultiLayer_BTreeLSTM, levels_of, tree_dropout
from .utils_vctree import BiForest, BiTree, arbForest_to_biForest, generate_forest, get_overlap_info


class DecoderTreeLSTM(nn.Module):
    """Names the objects of each image along its tree, from the root to the leaves or, with `foreward`, upwards."""

    def __init__(
        self,
        cfg,
        classes: Sequence[str],
        embed_dim: int,
        inputs_dim: int,
        hidden_dim: int,
        direction: str = "backward",
        dropout: float = 0.2,
    ):
        super().__init__()
        self.hidden_size = hidden_dim
        self.dropout = dropout
        self.obj_embed = nn.Embedding(len(classes) + 1, embed_dim)  # "start", then the classes
        with torch.no_grad():
            self.obj_embed.weight.copy_(object_word_vectors(cfg, ["start", *classes]))
        self.out = nn.Linear(hidden_dim, len(classes))
        num_names = {"foreward": 2, "backward": 1}[direction]  # of both children, or of the parent
        self.decoderLSTM = CELLS[direction](
            inputs_dim + num_names * embed_dim,
            hidden_dim,
            is_pass_embed=True,
            embed_layer=self.obj_embed,
            embed_out_layer=self.out,
        )

    def forward(self, tree: BiTree | BiForest, features: Tensor, num_obj: int) -> tuple[Tensor, Tensor]:
        """Class logits and labels of all objects.

        Args:
            tree: the root of an image's tree, or the trees of all images.
            features: [n, inputs_dim].
            num_obj: n.

        Returns:
            [n, C], int64 [n]
        """
        levels = levels_of(tree, num_obj, features.device)
        mask = tree_dropout(levels, self.dropout, self.hidden_size) if self.training else None
        _, logits, labels = self.decoderLSTM(levels, features, mask)
        return logits, labels


class VCTreeLSTMContext(ObjectContext):
    """Context of each object from a tree that grows along the pairs most likely to be related."""

    def __init__(self, config, obj_classes, rel_classes, statistics: Mapping, in_channels: int):
        super().__init__(config, obj_classes, in_channels)
        head = config.MODEL.ROI_RELATION_HEAD
        input_dim = self.obj_dim + self.embed_dim + 128
        self.overlap_embed = _embedding(6)
        self.box_embed = _embedding(9)

        # log P of all predicates summed: large for classes that are often related, in either order
        related = torch.as_tensor(statistics["pred_dist"]).float().sum(-1)
        self.bi_freq_prior = nn.Linear(self.num_obj_classes**2, 1, bias=False)
        with torch.no_grad():
            self.bi_freq_prior.weight.copy_((related + related.T).view(1, -1))
        self.obj_reduce = nn.Linear(self.obj_dim, 128)
        self.emb_reduce = nn.Linear(self.embed_dim, 128)
        self.score_pre = nn.Linear(128 * 4, self.hidden_dim)
        self.score_sub = nn.Linear(self.hidden_dim, self.hidden_dim)
        self.score_obj = nn.Linear(self.hidden_dim, self.hidden_dim)
        self.vision_prior = nn.Linear(self.hidden_dim * 3 + 1, 1)
        for layer in (self.obj_reduce, self.emb_reduce, self.score_pre, self.score_sub, self.score_obj):
            layer_init(layer, xavier=True)

        def tree_lstm(in_dim: int, num_layers: int) -> MultiLayer_BTreeLSTM:
            dropout = head.CONTEXT_DROPOUT_RATE if num_layers > 1 else 0
            return MultiLayer_BTreeLSTM(in_dim, self.hidden_dim, num_layers, dropout)

        self.obj_ctx_rnn = tree_lstm(input_dim, head.CONTEXT_OBJ_LAYER)
        self.decoder_rnn = DecoderTreeLSTM(
            config,
            obj_classes,
            embed_dim=self.embed_dim,
            inputs_dim=self.hidden_dim + input_dim,
            hidden_dim=self.hidden_dim,
            dropout=head.CONTEXT_DROPOUT_RATE,
        )
        self.edge_ctx_rnn = tree_lstm(self.embed_dim + self.hidden_dim + self.obj_dim, head.CONTEXT_REL_LAYER)

        if self.effect_analysis:
            self.register_buffer("untreated_dcd_feat", torch.zeros(self.hidden_dim + input_dim))
            self.register_buffer("untreated_obj_feat", torch.zeros(input_dim))
            self.register_buffer("untreated_edg_feat", torch.zeros(self.embed_dim + self.obj_dim))

    def obj_ctx(self, num_objs, obj_feats, proposals, obj_labels=None, vc_forest=None, ctx_average=False):
        """Object context, and object labels from it.

        Args:
            num_objs: objects of each image.
            obj_feats: [n, D + E + 128].
            obj_labels: true labels, int64 [n]; read in PredCls.
            vc_forest: the binary trees of the images.
            ctx_average: name the objects from average features instead of their own.

        Returns:
            context [n, H], labels int64 [n], class logits [n, C]
        """
        context = self.obj_ctx_rnn(vc_forest, obj_feats, len(obj_feats))
        if self.mode == "predcls":
            return context, obj_labels, to_onehot(obj_labels, self.num_obj_classes)
        if ctx_average and self.effect_analysis and not self.training:
            decoder_inp = self.untreated_dcd_feat.expand(len(context), -1)
        else:
            decoder_inp = torch.cat((obj_feats, context), dim=1)
        if self.training and self.effect_analysis:
            self.untreated_dcd_feat = self.moving_average_by_image(self.untreated_dcd_feat, decoder_inp, num_objs)
        obj_dists, obj_preds = self.decoder_rnn(vc_forest, decoder_inp, len(decoder_inp))
        return context, obj_preds, obj_dists

    def edge_ctx(self, num_objs, obj_feats, forest):
        """Context of the named objects: [n, E + D + H] -> [n, H]."""
        return self.edge_ctx_rnn(forest, obj_feats, sum(num_objs))

    @depends_on_objects_only
    def forward(self, x, proposals, rel_pair_idxs, logger=None, all_average=False, ctx_average=False):
        """Context of the objects of all images; arguments as in `LSTMContext`.

        Returns:
            class logits [n, C], labels int64 [n], edge context [n, H], and for each image how likely two objects are
            related, as logits [n_i, n_i]
        """
        average_all = all_average and self.effect_analysis and not self.training
        average_context = (all_average or ctx_average) and self.effect_analysis and not self.training
        num_objs = [len(p) for p in proposals]

        obj_labels = None
        if self.mode == "predcls":
            obj_labels = torch.cat([p.get_field("labels") for p in proposals]).long()
            obj_logits = to_onehot(obj_labels, self.num_obj_classes)
        else:
            obj_logits = torch.cat([p.get_field("predict_logits") for p in proposals]).detach()
        obj_embed = embed_labels(self.obj_embed1, proposals, use_gt_label=self.mode == "predcls")
        box_info = encode_box_info(proposals)
        own_features = torch.cat((x, obj_embed, self.pos_embed(box_info)), dim=1)
        obj_feats = self.untreated_obj_feat.expand(len(x), -1) if average_all else own_features

        pair_inp = torch.cat(
            (
                self.obj_reduce(x.detach()),
                self.emb_reduce(obj_embed.detach()),
                self.box_embed(box_info),
                self.overlap_embed(get_overlap_info(proposals)),
            ),
            dim=1,
        )
        binary_preds, pair_scores = self.vctree_score_net(num_objs, pair_inp, obj_logits, proposals)
        forest = arbForest_to_biForest(generate_forest(pair_scores, proposals, self.mode))

        context, obj_preds, obj_dists = self.obj_ctx(
            num_objs, obj_feats, proposals, obj_labels, forest, ctx_average=ctx_average
        )
        own_edges = torch.cat((self.obj_embed2(obj_preds), x), dim=1)
        edges = self.untreated_edg_feat.expand(len(x), -1) if average_context else own_edges
        edge_ctx = self.edge_ctx(num_objs, torch.cat((edges, context), dim=1), forest)

        if self.training and self.effect_analysis:
            self.untreated_obj_feat = self.moving_average(self.untreated_obj_feat, own_features)
            self.untreated_edg_feat = self.moving_average(self.untreated_edg_feat, own_edges)
        return obj_dists, obj_preds, edge_ctx, binary_preds

    def vctree_score_net(
        self, num_objs: Sequence[int], roi_feat: Tensor, roi_dist: Tensor, proposals: Sequence[BoxList]
    ) -> tuple[list[Tensor], list[Tensor]]:
        """How likely two objects of each image are related, rows the objects, columns the subjects.

        Args:
            num_objs: objects of each image.
            roi_feat: [n, 512].
            roi_dist: class logits, [n, C].
            proposals: for overriding methods, which may score by boxes.

        Returns:
            logits [n_i, n_i], for the loss, and probabilities [n_i, n_i], from which the trees grow
        """
        hidden = F.relu(self.score_pre(roi_feat))
        subjects, objects = F.relu(self.score_sub(hidden)), F.relu(self.score_obj(hidden))
        # Sums over log frequencies reach hundreds: half precision would keep too little to grow the same trees.
        with torch.autocast(roi_feat.device.type, enabled=False):
            dists = roi_dist.detach().float().softmax(dim=1)
            prior = self.bi_freq_prior.weight.view(self.num_obj_classes, self.num_obj_classes)
            # Layers over all pairs, as products of matrices over objects.
            of_product, of_subject, of_object, of_prior = self.vision_prior.weight[0].split(
                [self.hidden_dim, self.hidden_dim, self.hidden_dim, 1]
            )
            logits = []
            for subject, obj, dist in zip(
                subjects.float().split(num_objs), objects.float().split(num_objs), dists.split(num_objs), strict=True
            ):
                co_prior = dist @ prior @ dist.T
                vision = (obj * of_product) @ subject.T + (subject @ of_subject)[None] + (obj @ of_object)[:, None]
                vision = vision + of_prior * co_prior + self.vision_prior.bias
                logits.append(vision.sigmoid() * co_prior)
        return logits, [scores.sigmoid() for scores in logits]


def _embedding(width: int) -> nn.Sequential:
    """Layers that embed `width` numbers of each object in 128."""
    return nn.Sequential(nn.Linear(width, 128), RowBatchNorm1d(128, momentum=0.001), nn.ReLU(inplace=True))
