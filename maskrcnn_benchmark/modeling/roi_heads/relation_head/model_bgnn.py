"""BGNN (Li et al., CVPR 2021): messages between objects and pairs, weighted by how sure a pair is of being related.

Shapes: n objects and m pairs of all images of a batch together, C object classes, R predicates (background first in
both), E word embeddings, P features of objects and of pairs (CONTEXT_POOLING_DIM), H hidden units
(BGNN_MODULE.GRAPH_HIDDEN_DIM).

Layers that PySGG never calls are here only so that its checkpoints load.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.modeling.make_layers import make_fc
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.comm import get_world_size
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.global_batch import counted, over_batch

from .utils_motifs import embed_labels, encode_box_info, object_word_vectors
from .utils_pairwise import PairwiseFeatureExtractor, PairwisePredictor, image_means
from .utils_predictors import batch_pairs
from .utils_relation import pair_linear

CONFIDENCE_DIM = 512  # hidden units of the confidence modules
MIN_SCORE = 0.03  # an object with a lower score sends nothing to pairs
MIN_WEIGHT = 1e-4  # a pair of a lower weight sends nothing to objects


def shared_by_equal_pairs(values: Tensor, pairs: Tensor) -> Tensor:
    """Values [m] of pairs int64 [m, 2], of which those of pairs given more than once are the last one's.

    PySGG keeps them in matrices over objects, where such a pair has one place.
    """
    distinct, place = pairs.unique(dim=0, return_inverse=True)
    return values.new_zeros(len(distinct)).index_put((place,), values)[place]


class RelAwareRelFeature(nn.Module):
    """Confidence of a pair: which predicates it may have, and from these whether it has any."""

    def __init__(self, config, obj_classes: Sequence[str], input_dim: int):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        self.obj_sem_embed = nn.Embedding.from_pretrained(object_word_vectors(config, obj_classes), freeze=False)
        self.obj_pos_embed = nn.Sequential(nn.Linear(9, 128), nn.ReLU(), nn.Linear(128, 128))
        self.proposal_box_feat_extract = nn.Sequential(nn.ReLU(), nn.Linear(2 * (128 + head.EMBED_DIM), CONFIDENCE_DIM))
        self.vis_embed = nn.Sequential(nn.ReLU(), nn.Linear(input_dim, CONFIDENCE_DIM))
        self.proposal_feat_fusion = nn.Sequential(
            nn.LayerNorm(2 * CONFIDENCE_DIM), nn.ReLU(), nn.Linear(2 * CONFIDENCE_DIM, CONFIDENCE_DIM)
        )
        self.proposal_relness_cls_fc = nn.Sequential(
            nn.LayerNorm(CONFIDENCE_DIM), nn.ReLU(), nn.Linear(CONFIDENCE_DIM, head.NUM_CLASSES - 1)
        )
        self.fusion_layer = nn.Linear(head.NUM_CLASSES - 1, 1)

    def forward(self, pair_features: Tensor, proposals: Sequence[BoxList], pairs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [m, R - 1] of each predicate and [m] of any; nothing is learnt about the features [m, P or H]."""
        visual = self.vis_embed(pair_features.detach())
        words = embed_labels(self.obj_sem_embed, proposals, use_gt_label=False)
        objects = torch.cat((self.obj_pos_embed(encode_box_info(proposals)), words), dim=1).relu()  # [n, 128 + E]
        geometric = pair_linear(self.proposal_box_feat_extract[1], objects, objects, pairs)
        fused = self.proposal_feat_fusion(torch.cat((visual, geometric), dim=1))
        predicates = self.proposal_relness_cls_fc(fused)
        return predicates, self.fusion_layer(predicates).squeeze(1)


class MessagePassingUnit(nn.Module):
    """How much of a message its receiver takes, from what both hold."""

    def __init__(self, dim: int, filter_dim: int = 128):
        super().__init__()
        self.w = nn.Sequential(nn.LayerNorm(2 * dim), nn.ReLU(), nn.Linear(2 * dim, filter_dim))
        self.gate_weight = nn.Parameter(torch.tensor([0.5]))  # not used, as the next
        self.aux_gate_weight = nn.Parameter(torch.tensor([0.5]))

    def forward(self, receiver: Tensor, sender: Tensor) -> Tensor:
        """[k, H] each -> messages [k, H]"""
        gate = self.w(torch.cat((receiver, sender), dim=1)).sigmoid().mean(dim=1, keepdim=True)
        return sender * gate


class MessageFusion(nn.Module):
    """What a message changes."""

    def __init__(self, dim: int):
        super().__init__()
        self.wih, self.whh = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, message: Tensor, hidden: Tensor) -> Tensor:
        """[k, H] each -> [k, H]"""
        return self.wih(message.relu()) + self.whh(hidden.relu())


class LearnableRelatednessGating(nn.Module):
    """A line through confidences, cut off at 0 and 1: its slope is learnt, where it begins is not."""

    def __init__(self, alpha: float, beta: float):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor([alpha]))
        self.beta = nn.Parameter(torch.tensor([beta]), requires_grad=False)

    def forward(self, confidences: Tensor) -> Tensor:
        return (self.alpha * (confidences - self.beta)).clamp(0, 1)


class BGNNContext(nn.Module):
    """Features of objects and pairs after all messages, and the confidences that weighed these."""

    def __init__(self, config, obj_classes: Sequence[str], in_channels: int, updates_objects: bool):
        """
        Args:
            updates_objects: somebody reads the features of objects, so they get the last messages, too.
        """
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        node = head.BGNN_MODULE
        if node.ITERATE_MP_PAIR_REFINE < 1:
            raise InputError(
                f"MODEL.ROI_RELATION_HEAD.BGNN_MODULE.ITERATE_MP_PAIR_REFINE is {node.ITERATE_MP_PAIR_REFINE}; "
                "BGNN needs at least one round of messages (3 as published)."
            )
        dim, pooling_dim = node.GRAPH_HIDDEN_DIM, head.CONTEXT_POOLING_DIM
        self.num_iter, self.updates_objects = node.GRAPH_ITERATION_NUM, updates_objects
        self.num_ranked = node.MP_VALID_PAIRS_NUM
        self.pretraining = False
        self.pairwise_feature_extractor = PairwiseFeatureExtractor(config, obj_classes, in_channels)
        self.relation_conf_aware_models = nn.ModuleList(
            RelAwareRelFeature(config, obj_classes, dim if i else pooling_dim)
            for i in range(node.ITERATE_MP_PAIR_REFINE)
        )
        self.learnable_relness_score_gating_recalibration = None
        if node.RELNESS_MP_WEIGHTING_SCORE_RECALIBRATION_METHOD == "learnable_scaling":
            self.learnable_relness_score_gating_recalibration = LearnableRelatednessGating(
                *node.LEARNABLE_SCALING_WEIGHT
            )
        else:
            self.min_relness = nn.Parameter(torch.tensor([1e-5]), requires_grad=False)
            self.max_relness = nn.Parameter(torch.tensor([0.5]), requires_grad=False)
        self.obj_downdim_fc = nn.Sequential(make_fc(pooling_dim, dim), nn.ReLU())
        self.rel_downdim_fc = nn.Sequential(make_fc(pooling_dim, dim), nn.ReLU())

        self.num_sets = 1 if node.SHARE_PARAMETERS_EACH_ITER else self.num_iter
        sets = range(self.num_sets)
        self.gate_sub2pred = nn.Sequential(*(MessagePassingUnit(dim) for _ in sets))
        self.gate_obj2pred = nn.Sequential(*(MessagePassingUnit(dim) for _ in sets))
        self.gate_pred2sub = nn.Sequential(*(MessagePassingUnit(dim) for _ in sets))
        self.gate_pred2obj = nn.Sequential(*(MessagePassingUnit(dim) for _ in sets))
        self.object_msg_fusion = nn.Sequential(*(MessageFusion(dim) for _ in sets))
        self.pred_msg_fusion = nn.Sequential(*(MessageFusion(dim) for _ in sets))
        self.obj_pair2rel_fuse = nn.Sequential(nn.BatchNorm1d(dim * 2), make_fc(dim * 2, dim), nn.ReLU())  # not used
        self.padding_feature = nn.Parameter(torch.zeros(dim), requires_grad=False)  # not used

    def forward(
        self, x, union_features, proposals, rel_pair_idxs
    ) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """Arguments as of `PairwiseFeatureExtractor`.

        Returns:
            features of objects [n, H] and of pairs [m, H], and for each refinement the logits of `RelAwareRelFeature`
        """
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)
        objects, pair_features = self.pairwise_feature_extractor(x, union_features, proposals, pairs)
        first_objects, first_pairs = self.obj_downdim_fc(objects), self.rel_downdim_fc(pair_features)
        takes_part = torch.cat([p.get_field("pred_scores") for p in proposals]) > MIN_SCORE
        valid = (takes_part[pairs[:, 0]] & takes_part[pairs[:, 1]]).nonzero().squeeze(1)

        objects, confidence_logits = first_objects, []
        for i, confidence in enumerate(self.relation_conf_aware_models):
            confidence_logits.append(confidence(pair_features, proposals, pairs))
            if self.pretraining:
                objects, pair_features = first_objects, first_pairs
                continue
            confidences = shared_by_equal_pairs(confidence_logits[-1][1].float().sigmoid(), pairs)
            weights = self.recalibrate(confidences, num_rels)
            needs_objects = self.updates_objects and i == len(self.relation_conf_aware_models) - 1
            live_objects, live_pairs = self.where_messages_pass(weights, num_objs, num_rels)
            objects, pair_features = self.pass_messages(
                first_objects, first_pairs, pairs, weights, valid[live_pairs[valid]], needs_objects
            )
            objects = torch.where(live_objects[:, None], objects, first_objects)
        return objects, pair_features, confidence_logits

    def where_messages_pass(
        self, weights: Tensor, num_objs: Sequence[int], num_rels: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Objects bool [n] and pairs bool [m] that anything changes for.

        Where no pair sends anything PySGG leaves all as it is. It tests one image at a time, so that is decided for
        each image here, too, but trains on batches, and looks at a batch as a whole.
        """
        sends = image_means((weights > MIN_WEIGHT).float(), num_rels) > 0
        if self.training:
            sends = sends.any().expand(len(num_rels))
        counts = torch.tensor([num_objs, num_rels], device=weights.device)
        return sends.repeat_interleave(counts[0]), sends.repeat_interleave(counts[1])

    def pass_messages(
        self, objects: Tensor, pair_features: Tensor, pairs: Tensor, weights: Tensor, valid: Tensor, needs_objects: bool
    ) -> tuple[Tensor, Tensor]:
        """GRAPH_ITERATION_NUM steps, in each of which objects and pairs hear what the others said before it.

        Args:
            objects, pair_features: [n, H], [m, H]
            pairs: int64 [m, 2]
            weights: of what pairs send, [m]
            valid: rows of the pairs that hear of objects, int64 [v]
            needs_objects: update objects in the last step, too, after which no pair hears of them.
        """
        senders = (weights > MIN_WEIGHT).nonzero().squeeze(1)
        weights = weights[senders, None].to(pair_features.dtype)
        for t in range(self.num_iter):
            k, old = t % self.num_sets, objects
            if needs_objects or t < self.num_iter - 1:
                objects = old + self.change_of_objects(k, old, pair_features[senders], pairs[senders], weights)
            change = self.change_of_pairs(k, pair_features[valid], old, pairs[valid])
            pair_features = pair_features.index_add(0, valid, change.to(pair_features.dtype))
        return objects, pair_features

    def change_of_objects(self, k: int, objects: Tensor, senders: Tensor, pairs: Tensor, weights: Tensor) -> Tensor:
        """From what pairs [s, H] send to their subjects and objects: [n, H]."""
        heard = torch.zeros_like(objects)
        for gate, ends in ((self.gate_pred2sub[k], pairs[:, 0]), (self.gate_pred2obj[k], pairs[:, 1])):
            messages = (gate(objects[ends], senders) * weights).to(objects.dtype)
            sums = torch.zeros_like(objects).index_add(0, ends, messages)
            heard = heard + sums / ends.bincount(minlength=len(objects)).clamp(min=1)[:, None]
        return self.object_msg_fusion[k](heard / 2, objects)

    def change_of_pairs(self, k: int, receivers: Tensor, objects: Tensor, pairs: Tensor) -> Tensor:
        """From what their subjects and objects send to pairs [v, H]: [v, H]."""
        from_subjects = self.gate_sub2pred[k](receivers, objects[pairs[:, 0]])
        from_objects = self.gate_obj2pred[k](receivers, objects[pairs[:, 1]])
        return self.pred_msg_fusion[k]((from_subjects + from_objects) / 2, receivers)

    def recalibrate(self, confidences: Tensor, num_rels: Sequence[int]) -> Tensor:
        """Weights of messages from the confidences of pairs, [m] -> [m]."""
        if self.learnable_relness_score_gating_recalibration is not None:
            return self.learnable_relness_score_gating_recalibration(confidences)
        # In turn, for each image moves the bounds that the next one starts from.
        return torch.cat([self._between_bounds(image) for image in confidences.split(list(num_rels))])

    def _between_bounds(self, confidences: Tensor) -> Tensor:
        """One image's place between bounds, which its best pairs and those before it set; 1 for the best tenth."""
        order = confidences.detach().argsort(descending=True)[: self.num_ranked]
        low, high = self.min_relness, self.max_relness
        certain = confidences == 1
        if (~certain).sum() > 10:
            ranked = confidences.detach()[order]
            own_low, own_high = ranked.min(), ranked[int(len(ranked) * 0.05) :].max()
            low, high = 0.7 * low + 0.3 * own_low, 0.7 * high + 0.3 * own_high
            if self.training:
                self.min_relness.lerp_(own_low, 0.1)
                self.max_relness.lerp_(own_high, 0.1)
        certain[order[: int(len(order) * 0.1)]] = True
        weights = ((confidences - low) / (high - low + 1e-5)).clamp(0, 1)
        return torch.where(certain, 1.0, weights)


class RelAwareLoss(nn.Module):
    """Focal losses of the confidences: 0.8 of whether a pair is related, 0.2 of its predicate."""

    def __init__(self, alpha: float, gamma: float):
        super().__init__()
        self.alpha, self.gamma = alpha, gamma

    def focal(self, logits: Tensor, target: Tensor) -> Tensor:
        """Lin et al., ICCV 2017, without a balance of the two sides; divided by the number of positives and one,
        of the whole batch where processes share one.
        """
        cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        loss = self.alpha * (1 - (-cross_entropy).exp()) ** self.gamma * cross_entropy
        return counted(loss) * get_world_size() / (over_batch(target.sum()) + 1)

    def forward(self, predicates: Tensor, related: Tensor, labels: Tensor) -> Tensor:
        """Logits [m, R - 1], [m] and labels int64 [m] -> scalar; pairs of the label -1 do not count."""
        counts = labels != -1
        predicates, related, labels = predicates[counts].float(), related[counts].float(), labels[counts]
        one_hot = F.one_hot(labels.long(), predicates.shape[1] + 1)[:, 1:].to(predicates.dtype)
        of_predicates = self.focal(predicates, one_hot).sum() / max(over_batch(len(labels), predicates), 1)
        return 0.8 * self.focal(related, (labels > 0).to(related.dtype)).sum() + 0.2 * of_predicates


class BGNNPredictor(PairwisePredictor):
    """BGNN, with a frequency bias unless FREQUENCY_BAIS is False."""

    predicate_classifier = "rel_classifier"
    settings = {
        "RELATION_PROPOSAL_MODEL.SET_ON": (True,),
        "RELATION_PROPOSAL_MODEL.METHOD": ("RelAwareRelFeature",),
        "RELATION_PROPOSAL_MODEL.REL_AWARE_PREDICTOR_TYPE": ("hybrid",),
        "RELATION_PROPOSAL_MODEL.PRE_CLSER_LOSS": ("focal_fgbg_norm",),
        "RELATION_PROPOSAL_MODEL.VISUAL_FEATURES_ON": (True,),
        "BGNN_MODULE.RELATION_CONFIDENCE_AWARE": (True,),
        "BGNN_MODULE.MP_ON_VALID_PAIRS": (True,),
        "BGNN_MODULE.RELNESS_MP_WEIGHTING": (True,),
        "BGNN_MODULE.RELNESS_MP_WEIGHTING_SCORE_RECALIBRATION_METHOD": ("learnable_scaling", "minmax"),
        "BGNN_MODULE.APPLY_GT": (False,),
        "BGNN_MODULE.SHARE_RELATED_MODEL_ACROSS_REFINE_ITER": (False,),
        "BGNN_MODULE.SPLIT_GRAPH4OBJ_REL": (False,),
        "BGNN_MODULE.GATING_WITH_RELNESS_LOGITS": (False,),
        "BGNN_MODULE.SKIP_CONNECTION_ON_OUTPUT": (False,),
    }

    def __init__(self, config, in_channels):
        super().__init__(config)
        head = config.MODEL.ROI_RELATION_HEAD
        node = head.RELATION_PROPOSAL_MODEL
        hidden_dim = head.BGNN_MODULE.GRAPH_HIDDEN_DIM
        self.context_layer = BGNNContext(config, self.obj_classes, in_channels, self.learns_objects)
        self.rel_classifier = nn.Linear(hidden_dim, self.num_rel_cls)
        self.obj_classifier = nn.Linear(hidden_dim, self.num_obj_cls)
        if self.freq_bias is not None:
            self.freq_lambda = nn.Parameter(torch.ones(1), requires_grad=False)
        self.confidence_loss = RelAwareLoss(node.FOCAL_LOSS_ALPHA, node.FOCAL_LOSS_GAMMA)
        self.pretrain_iterations = node.PRETRAIN_ITER_RELNESS_MODULE if node.PRETRAIN_RELNESS_MODULE else 0

    def start_iteration(self, iteration: int) -> None:
        """No messages in the first PRETRAIN_ITER_RELNESS_MODULE iterations."""
        self.context_layer.pretraining = iteration <= self.pretrain_iterations

    def start_preclser_relpn_pretrain(self) -> None:
        """PySGG's name: no messages from now on."""
        self.context_layer.pretraining = True

    def end_preclser_relpn_pretrain(self) -> None:
        self.context_layer.pretraining = False

    def forward(self, proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger=None):
        pairs, num_objs, num_rels = batch_pairs(proposals, rel_pair_idxs)
        objects, pair_features, confidences = self.context_layer(roi_features, union_features, proposals, rel_pair_idxs)
        obj_dists, labels = self.object_predictions(proposals, None)
        if self.learns_objects:
            refined = self.refined_logits(self.obj_classifier, objects, proposals)
            if self.mode == "sgdet":
                obj_dists, labels = self.object_predictions(proposals, refined)
            else:  # PySGG keeps the logits there, and its labels are too small by one
                labels = refined[:, 1:].argmax(dim=1)
        rel_dists = self.rel_classifier(pair_features)
        if self.freq_bias is not None:
            rel_dists = rel_dists + self.freq_lambda * self.bias(labels, pairs)
        losses = {}
        if self.training:
            rel_labels = torch.cat(list(rel_labels))
            losses = {
                f"pre_rel_classify_loss_iter-{i}": self.confidence_loss(*logits, rel_labels)
                for i, logits in enumerate(confidences)
            }
        return obj_dists.split(num_objs), rel_dists.split(num_rels), losses
