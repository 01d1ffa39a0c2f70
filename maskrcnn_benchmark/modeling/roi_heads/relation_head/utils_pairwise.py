"""What SQUAT, BGNN and GPS-Net share, as in PySGG: features of objects and of pairs, the host's side, object labels.

Shapes: n objects and m pairs of all images of a batch together, C object classes, R predicates (background first in
both), D roi features, E word embeddings, H hidden units (CONTEXT_HIDDEN_DIM), P features of objects and of pairs
(CONTEXT_POOLING_DIM).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.modeling.make_layers import make_fc
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou
from maskrcnn_benchmark.utils.errors import InputError

from .phrase_prior import make_frequency_bias
from .utils_motifs import embed_labels, encode_box_info, object_word_vectors, position_embedding, to_onehot
from .utils_predictors import class_statistics
from .utils_relation import get_box_info, get_box_pair_info, layer_init, obj_prediction_nms, relation_task

LABEL_NMS = 0.5  # IoU from which on two objects may not share a label; PySGG reads no key for it

# Keys below MODEL.ROI_RELATION_HEAD -> values that have an effect here. PySGG has others for models of its own.
_SETTINGS = {
    "EDGE_FEATURES_REPRESENTATION": ("union", "obj_pair", "fusion"),
    "WORD_EMBEDDING_FEATURES": (True,),
    "GEOMETRIC_FEATURES": (True,),
    "OBJECT_CLASSIFICATION_MANNER": ("replace", "add"),
    "CLASSIFIER": ("linear",),
    "CLASSIFIER_WEIGHT_SCALE": (False,),
    "FIX_CLASSIFIER_WEIGHT": (False,),
    "USE_BINARY_LOSS": (False,),
    "CAUSAL.SEPARATE_SPATIAL": (False,),
    "RELATION_PROPOSAL_MODEL.METHOD": ("gt", "RelAwareRelFeature"),
    "RELATION_PROPOSAL_MODEL.USE_RELATEDNESS_FOR_PREDICTION_RANKING": (False,),
    "RELATION_PROPOSAL_MODEL.EVAL_MODEL_AUC": (False,),
}


def check_settings(config, predictor: str, settings: Mapping[str, Sequence]) -> None:
    """Raise `InputError` where a key below MODEL.ROI_RELATION_HEAD has a value that a predictor cannot work with."""
    for key, allowed in settings.items():
        value = config.MODEL.ROI_RELATION_HEAD
        for part in key.split("."):
            value = value[part]
        if value not in allowed:
            choice = " or ".join(str(x) for x in allowed)
            raise InputError(
                f"MODEL.ROI_RELATION_HEAD.{key} is {value}, which {predictor} does not support; set it to {choice}."
            )


def gt_rel_proposal_matching(
    proposals: Sequence[BoxList], targets: Sequence[BoxList], fg_thres: float, require_overlap: bool
) -> tuple[list[Tensor], list[Tensor]]:
    """Which pairs of proposals lie where ground-truth objects and relations lie; classes do not count.

    Args:
        targets: ground truth with the field `relation` [t, t]; relations that are left out of the loss (-1) count.
        fg_thres: IoU above which a proposal lies where an object lies.
        require_overlap: foreground pairs overlap.

    Returns:
        for each image foreground pairs, both proposals on objects, int64 [n_i, n_i]; and related pairs, on both objects
        of a relation in either direction, int64 [n_i, n_i]
    """
    foreground, related = [], []
    for proposal, target in zip(proposals, targets, strict=True):
        is_match = boxlist_iou(target, proposal) > fg_thres  # [t, n]
        own_ious = boxlist_iou(proposal, proposal)
        if require_overlap:
            possible = (own_ious > 0) & (own_ious < 1)  # 1: the box itself, or its double
        else:
            possible = ~torch.eye(len(proposal), dtype=torch.bool, device=own_ious.device)
        on_object = is_match.any(dim=0)
        foreground.append((possible & on_object[:, None] & on_object).long())
        relation = (target.get_field("relation") != 0).float()
        directed = is_match.float().T @ relation @ is_match.float()  # [n, n]
        related.append(((directed + directed.T) > 0).long())
    return foreground, related


def image_means(x: Tensor, counts: Sequence[int]) -> Tensor:
    """Mean over the rows of each image, zero where it has none: [sum of counts, ...] -> [images, ...]."""
    numbers = torch.tensor(counts, device=x.device)
    image = torch.arange(len(counts), device=x.device).repeat_interleave(numbers, output_size=len(x))
    sums = x.new_zeros((len(counts), *x.shape[1:])).index_add(0, image, x)
    return sums / numbers.clamp(min=1).view(-1, *[1] * (x.dim() - 1))


class PairwiseFeatureExtractor(nn.Module):
    """Features of objects from their box, word and roi features; features of pairs from both objects or their union."""

    def __init__(self, config, obj_classes: Sequence[str], in_channels: int):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        self.mode = relation_task(config)
        self.rel_feature_type = head.EDGE_FEATURES_REPRESENTATION
        hidden_dim, pooling_dim = head.CONTEXT_HIDDEN_DIM, head.CONTEXT_POOLING_DIM
        object_dim = hidden_dim + in_channels + head.EMBED_DIM

        word_vectors = object_word_vectors(config, obj_classes)
        self.obj_embed_on_prob_dist = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.obj_embed_on_pred_label = nn.Embedding.from_pretrained(word_vectors.clone(), freeze=False)
        self.rel_feature_up_dim = None
        if pooling_dim != in_channels:
            self.rel_feature_up_dim = make_fc(in_channels, pooling_dim)
            layer_init(self.rel_feature_up_dim, xavier=True)
        self.pos_embed = position_embedding(make_fc)
        self.obj_hidden_linear = make_fc(in_channels + head.EMBED_DIM + 128, hidden_dim)
        self.obj_feat_aug_finalize_fc = nn.Sequential(make_fc(object_dim, pooling_dim), nn.ReLU())
        self.pairwise_obj_feat_updim_fc = make_fc(object_dim, hidden_dim * 2)
        if self.rel_feature_type != "union":
            self.spt_emb = nn.Sequential(
                make_fc(32, hidden_dim), nn.ReLU(), make_fc(hidden_dim, hidden_dim * 2), nn.ReLU()
            )
            layer_init(self.spt_emb[0], xavier=True)
            layer_init(self.spt_emb[2], xavier=True)
            self.pairwise_rel_feat_finalize_fc = nn.Sequential(make_fc(hidden_dim * 2, pooling_dim), nn.ReLU())

    def forward(
        self, x: Tensor, union_features: Tensor | None, proposals: Sequence[BoxList], pairs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Features of objects and pairs.

        Args:
            x: roi features, [n, D]
            union_features: [m, D]; not read with EDGE_FEATURES_REPRESENTATION obj_pair.
            proposals: with the fields that `PairwisePredictor.prepare_inputs` adds.
            pairs: (subject, object) among all objects, int64 [m, 2]

        Returns:
            of objects [n, P], of pairs [m, P]
        """
        words = embed_labels(self.obj_embed_on_prob_dist, proposals, use_gt_label=self.mode == "predcls")
        position = self.pos_embed(encode_box_info(proposals))
        hidden = self.obj_hidden_linear(torch.cat((x, words, position), dim=1))  # [n, H]
        labels = torch.cat([p.get_field("pred_labels") for p in proposals]).long()
        objects = torch.cat((self.obj_embed_on_pred_label(labels), x, hidden), dim=1)  # [n, E + D + H]
        features = self.obj_feat_aug_finalize_fc(objects)
        if self.rel_feature_type == "obj_pair":
            return features, self._of_both_objects(objects, proposals, pairs)
        union = union_features if self.rel_feature_up_dim is None else self.rel_feature_up_dim(union_features)
        if self.rel_feature_type == "union":
            return features, union
        return features, union + self._of_both_objects(objects, proposals, pairs)

    def _of_both_objects(self, objects: Tensor, proposals: Sequence[BoxList], pairs: Tensor) -> Tensor:
        as_subject, as_object = self.pairwise_obj_feat_updim_fc(objects).chunk(2, dim=1)  # [n, H] each
        both = torch.cat((as_subject[pairs[:, 0]], as_object[pairs[:, 1]]), dim=1)  # [m, 2 H]
        boxes = torch.cat([get_box_info(p.bbox, proposal=p) for p in proposals])  # [n, 8]
        positions = self.spt_emb(get_box_pair_info(boxes[pairs[:, 0]], boxes[pairs[:, 1]]))
        return self.pairwise_rel_feat_finalize_fc(both * positions)


class PairwisePredictor(nn.Module):
    """Base of SQUAT, BGNN and GPS-Net: what they take from the host, and labels of objects.

    Objects keep the labels and logits that the detector gave them, unless REL_OBJ_MULTI_TASK_LOSS asks for new ones.
    """

    pairs_interact = True
    settings: Mapping[str, Sequence] = {}  # further keys below MODEL.ROI_RELATION_HEAD -> values that have an effect

    def __init__(self, config):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        check_settings(config, type(self).__name__, {**_SETTINGS, **self.settings})
        if head.EDGE_FEATURES_REPRESENTATION != "obj_pair" and not head.PREDICT_USE_VISION:
            raise InputError(
                f"{type(self).__name__} works on the features of union boxes; set MODEL.ROI_RELATION_HEAD."
                "PREDICT_USE_VISION to True, or EDGE_FEATURES_REPRESENTATION to obj_pair."
            )
        self.mode = relation_task(config)
        statistics = class_statistics(config)
        self.obj_classes = statistics["obj_classes"]
        self.num_obj_cls, self.num_rel_cls = config.MODEL.ROI_BOX_HEAD.NUM_CLASSES, head.NUM_CLASSES
        self.pooling_dim = head.CONTEXT_POOLING_DIM
        self.adds_logits = head.OBJECT_CLASSIFICATION_MANNER == "add"
        self.learns_objects, self.refines_objects = head.REL_OBJ_MULTI_TASK_LOSS, head.OBJECT_CLASSIFICATION_REFINE
        # PySGG has FREQUENCY_BAIS (sic) for these predictors, SGB the other key for its own.
        self.freq_bias = None
        if head.FREQUENCY_BAIS and head.PREDICT_USE_BIAS:
            self.freq_bias = make_frequency_bias(config, statistics)

    def prepare_inputs(
        self, proposals: Sequence[BoxList], targets: Sequence[BoxList] | None, rel_binarys: Sequence[Tensor] | None
    ) -> tuple[list[BoxList], Sequence[Tensor] | None]:
        """Copies of the proposals that have `predict_logits`, `pred_labels`, `pred_scores`, `boxes_per_cls`.

        In PredCls labels are certain; in SGCls they are the detector's, after suppression.
        """
        if self.mode == "sgdet":
            return list(proposals), rel_binarys
        prepared = []
        for proposal in proposals:
            proposal = proposal.copy_with_fields(proposal.fields())
            per_class = proposal.bbox[:, None].expand(-1, self.num_obj_cls, -1)
            if self.mode == "predcls":
                labels = proposal.get_field("labels")
                logits, scores = to_onehot(labels, self.num_obj_cls), torch.ones_like(labels, dtype=torch.float32)
                proposal.add_field("predict_logits", logits)
            else:
                logits = proposal.get_field("predict_logits").detach()
                labels = obj_prediction_nms(per_class, logits, LABEL_NMS)
                scores = logits.float().softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
            proposal.add_field("pred_labels", labels)
            proposal.add_field("pred_scores", scores)
            proposal.add_field("boxes_per_cls", per_class)
            prepared.append(proposal)
        return prepared, rel_binarys

    def refined_logits(self, classifier: nn.Module, features: Tensor, proposals: Sequence[BoxList]) -> Tensor:
        """Object logits [n, C] of the predictor's own, in PredCls those of the given labels."""
        if self.mode == "predcls":
            return to_onehot(torch.cat([p.get_field("labels") for p in proposals]), self.num_obj_cls)
        return classifier(features)

    def object_predictions(self, proposals: Sequence[BoxList], refined: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits [n, C] and labels int64 [n] of objects: the detector's, or from `refined` logits where there are."""
        logits = torch.cat([p.get_field("predict_logits") for p in proposals])
        if refined is None:
            return logits, torch.cat([p.get_field("pred_labels") for p in proposals]).long()
        logits = refined + logits if self.adds_logits else refined
        # Over all images of the batch at once, as in PySGG: objects take labels from those of other images, too.
        boxes_per_cls = torch.cat([p.get_field("boxes_per_cls") for p in proposals])
        return logits, obj_prediction_nms(boxes_per_cls, logits, LABEL_NMS)

    def bias(self, labels: Tensor, pairs: Tensor) -> Tensor | float:
        """Frequency bias [m, R] of pairs int64 [m, 2] by labels int64 [n], 0 where it is switched off."""
        return 0.0 if self.freq_bias is None else self.freq_bias.index_with_labels(labels[pairs])
