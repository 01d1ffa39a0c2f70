"""What RelCLIP stands on: the host's context modules, and the representation of pairs that goes with each of them.

Everything here mirrors the host's own predictor of that context, with the same parameter names: its weights fit.

Shapes: n objects and N pairs in a batch, O object classes, R predicates, h CONTEXT_HIDDEN_DIM, c CONTEXT_POOLING_DIM, e
width of a subject's or object's edge representation (h; c for vtranse).
"""

from __future__ import annotations

from typing import Any, List, Mapping, NamedTuple, Optional, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_motifs import LSTMContext
from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_transformer import TransformerContext
from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_vctree import VCTreeLSTMContext
from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_vtranse import VTransEFeature
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_motifs import encode_box_info, to_onehot
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_relation import layer_init
from maskrcnn_benchmark.modeling.utils import cat

from .defaults import KEY
from .errors import RelCLIPError

CONTEXTS = ("motifs", "vctree", "transformer", "vtranse", "none")


class Pairs(NamedTuple):
    """A batch of objects and pairs of them, images one after another."""

    object_logits: Tensor  # [n, O]
    subject: Tensor  # int64 [N], row of each pair's subject among the n objects
    object: Tensor  # int64 [N]
    subject_label: Tensor  # int64 [N], class of the subject: ground truth in PredCls, else what the context says
    object_label: Tensor  # int64 [N]
    subject_rep: Tensor  # [n, e], edge representation of every object in the role of a subject
    object_rep: Tensor  # [n, e]
    visual_rep: Tensor  # [N, c]
    tree_scores: Optional[List[Tensor]]  # vctree only, per image [n_i, n_i]: logits that two objects are related


class NoContext(nn.Module):
    """Each object by its own appearance and box; object classes stay those of the detector.

    Arguments and results are those of the host's other contexts.
    """

    def __init__(self, config: Any, obj_classes: Sequence[str], rel_classes: Sequence[str], in_channels: int) -> None:
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        self.use_gt_label = head.USE_GT_OBJECT_LABEL
        self.num_obj_classes = len(obj_classes)
        self.fc_layer = nn.Linear(in_channels + 9, head.CONTEXT_HIDDEN_DIM)

    def forward(
        self, x: Tensor, proposals: Sequence[Any], rel_pair_idxs: Sequence[Tensor], logger: Any = None
    ) -> tuple:
        if self.use_gt_label:
            labels = cat([proposal.get_field("labels") for proposal in proposals], dim=0).long()
            logits = to_onehot(labels, self.num_obj_classes)
        else:
            logits = cat([proposal.get_field("predict_logits") for proposal in proposals], dim=0).detach()
            labels = logits[:, 1:].argmax(dim=1) + 1
        edge_ctx = F.relu(self.fc_layer(torch.cat([x, encode_box_info(proposals).to(x.dtype)], dim=1)))
        return logits, labels, edge_ctx, None


class PairEncoder(nn.Module):
    """Context, pair representation and base classifier of one of the host's predictors.

    Args:
        config: the host's configuration.
        statistics: what get_dataset_statistics returns.
        in_channels: channels of a box's features.
        context: one of CONTEXTS.
        num_logits: outputs of the base classifier.
    """

    def __init__(
        self, config: Any, statistics: Mapping[str, Any], in_channels: int, context: str, num_logits: int
    ) -> None:
        super().__init__()
        if context not in CONTEXTS:
            raise RelCLIPError(f"{KEY}.CONTEXT is {context!r}; it can be {', '.join(CONTEXTS)}.")
        head = config.MODEL.ROI_RELATION_HEAD
        for key, on in (
            ("MODEL.ATTRIBUTE_ON", config.MODEL.ATTRIBUTE_ON),
            ("MODEL.ROI_RELATION_HEAD.CAUSAL.SEPARATE_SPATIAL", head.CAUSAL.SEPARATE_SPATIAL),
        ):
            if on:
                raise RelCLIPError(f"{key} is True, which RelCLIPPredictor cannot work with; set it to False.")
        self.context = context
        self.use_gt_label = head.USE_GT_OBJECT_LABEL
        self.pooling_dim = head.CONTEXT_POOLING_DIM
        hidden_dim = head.CONTEXT_HIDDEN_DIM
        self.entity_dim = self.pooling_dim if context == "vtranse" else hidden_dim

        obj_classes, rel_classes = statistics["obj_classes"], statistics["rel_classes"]
        self.context_layer: nn.Module
        if context == "vctree":
            self.context_layer = VCTreeLSTMContext(config, obj_classes, rel_classes, statistics, in_channels)
        else:
            module = {"motifs": LSTMContext, "transformer": TransformerContext, "vtranse": VTransEFeature}
            self.context_layer = module.get(context, NoContext)(config, obj_classes, rel_classes, in_channels)

        self.post_emb = nn.Linear(hidden_dim, self.entity_dim * 2)
        layer_init(self.post_emb, 10.0 * (1.0 / hidden_dim) ** 0.5, normal=True)
        if context != "vtranse":
            self.post_cat = nn.Linear(hidden_dim * 2, self.pooling_dim)
            layer_init(self.post_cat, xavier=True)
        if self.pooling_dim != config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM:
            self.up_dim = nn.Linear(config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM, self.pooling_dim)
            layer_init(self.up_dim, xavier=True)
        self._build_base(num_logits, hidden_dim)

    def _build_base(self, num_logits: int, hidden_dim: int) -> None:
        """The classifier of the host's predictor of this context, under the host's names."""
        if self.context == "vctree":
            self.ctx_compress = nn.Linear(self.pooling_dim, num_logits)
            layer_init(self.ctx_compress, xavier=True)
        elif self.context == "vtranse":
            self.ctx_compress = nn.Linear(self.pooling_dim, num_logits, bias=False)
            self.vis_compress = nn.Linear(self.pooling_dim, num_logits)
            layer_init(self.vis_compress, xavier=True)
        else:
            self.rel_compress = nn.Linear(self.pooling_dim, num_logits)
            layer_init(self.rel_compress, xavier=True)
            if self.context == "transformer":
                self.ctx_compress = nn.Linear(hidden_dim * 2, num_logits)
                layer_init(self.ctx_compress, xavier=True)

    def encode_pairs(
        self,
        proposals: Sequence[Any],
        rel_pair_idxs: Sequence[Tensor],
        roi_features: Tensor,
        union_features: Optional[Tensor],
        logger: Any = None,
    ) -> Pairs:
        """Run the context and represent every pair.

        Args:
            proposals: one BoxList per image.
            rel_pair_idxs: per image int64 [m_i, 2], subject and object of each pair; N in all.
            roi_features: [n, in_channels].
            union_features: [N, MLP_HEAD_DIM]; None with PREDICT_USE_VISION False.
        """
        tree_scores = None
        if self.context == "transformer":
            object_logits, labels, edge_ctx = self.context_layer(roi_features, proposals, logger)
        else:
            object_logits, labels, edge_ctx, tree_scores = self.context_layer(
                roi_features, proposals, rel_pair_idxs, logger
            )
        if self.use_gt_label:  # the host's vtranse guesses even where the classes are given
            labels = cat([proposal.get_field("labels") for proposal in proposals], dim=0)
        labels = labels.long()

        edge_rep = self.post_emb(edge_ctx)
        if self.context == "vctree":
            edge_rep = F.relu(edge_rep)
        subject_rep, object_rep = edge_rep.split(self.entity_dim, dim=1)
        subject, object_ = pair_rows(proposals, rel_pair_idxs)
        # The union box's features, gated by the context (vtranse: as they are; without vision: the gate alone).
        if union_features is not None and hasattr(self, "up_dim"):
            union_features = self.up_dim(union_features)
        if self.context != "vtranse":
            gate = pair_linear(self.post_cat, subject_rep, object_rep, subject, object_)
            visual_rep = gate if union_features is None else gate * union_features
        elif union_features is None:
            visual_rep = subject_rep[subject] - object_rep[object_]
        else:
            visual_rep = union_features
        return Pairs(
            object_logits=object_logits,
            subject=subject,
            object=object_,
            subject_label=labels[subject],
            object_label=labels[object_],
            subject_rep=subject_rep,
            object_rep=object_rep,
            visual_rep=visual_rep,
            tree_scores=tree_scores,
        )

    def visual_classifier(self) -> nn.Linear:
        """The part of the base classifier that looks at the visual representation."""
        names = {"vctree": "ctx_compress", "vtranse": "vis_compress"}
        return getattr(self, names.get(self.context, "rel_compress"))

    def base_logits(self, pairs: Pairs, visual_logits: Tensor) -> Tensor:
        """Logits [N, num_logits] of the context's own classifier.

        Args:
            visual_logits: what `visual_classifier` makes of the pairs' visual representations.
        """
        if self.context == "vtranse":  # of the difference of both representations; the layer has no bias
            of_subject, of_object = self.ctx_compress(pairs.subject_rep), self.ctx_compress(pairs.object_rep)
            return visual_logits + of_subject[pairs.subject] - of_object[pairs.object]
        if self.context == "transformer":
            return visual_logits + pair_linear(
                self.ctx_compress, pairs.subject_rep, pairs.object_rep, pairs.subject, pairs.object
            )
        return visual_logits


def pair_linear(layer: nn.Linear, subject_rep: Tensor, object_rep: Tensor, subject: Tensor, object_: Tensor) -> Tensor:
    """A layer over [subject, object] of each pair, computed once per object and added up for pairs.

    Args:
        layer: from 2 e to k features.
        subject_rep, object_rep: [n, e].
        subject, object_: int64 [N].

    Returns:
        [N, k]
    """
    of_subject, of_object = layer.weight.split(subject_rep.shape[1], dim=1)
    return F.linear(subject_rep, of_subject, layer.bias)[subject] + F.linear(object_rep, of_object)[object_]


def pair_rows(proposals: Sequence[Any], rel_pair_idxs: Sequence[Tensor]) -> List[Tensor]:
    """Subject and object of each pair as rows of the batch's objects: two int64 [N]."""
    first, rows = 0, []
    for proposal, pairs in zip(proposals, rel_pair_idxs):
        rows.append(pairs.long() + first)
        first += len(proposal)
    return list(torch.cat(rows).unbind(dim=1))


def tree_loss(tree_scores: Sequence[Tensor], rel_binarys: Sequence[Tensor]) -> Tensor:
    """VCTree's own loss: which objects are related at all, averaged over images.

    Args:
        tree_scores: per image [n_i, n_i].
        rel_binarys: per image [n_i, n_i], positive where the ground truth relates two objects either way.
    """
    losses = [
        F.binary_cross_entropy_with_logits(scores, (related > 0).to(scores.dtype))
        for scores, related in zip(tree_scores, rel_binarys)
    ]
    return torch.stack(losses).mean()
