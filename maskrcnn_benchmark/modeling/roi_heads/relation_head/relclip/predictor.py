"""RelCLIPPredictor: predicates by their phrases, on top of the context of another predictor.

Shapes: n objects and N pairs in a batch, O object classes and R predicates (background included), d width of the text
embeddings.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.modeling.registry import ROI_RELATION_PREDICTOR
from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_motifs import FrequencyBias
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_motifs import to_onehot
from maskrcnn_benchmark.utils.comm import is_main_process

from .alignment import PairProjection, at_least_single, fused_linear, group_similarity
from .checks import check_classes, check_node
from .contexts import PairEncoder, Pairs, tree_loss
from .defaults import KEY
from .errors import RelCLIPError
from .image_encoder import load_image_encoder
from .loss import RelationalContrastiveLoss
from .negatives import Negatives, full_dictionary, phrase_components, synonymous, training_dictionary
from .pair_images import PairImages
from .phrase_bank import bank_from_config, class_table, encoder_spec, predicate_similarity
from .prior import PhrasePrior, class_similarity
from .substitution import ClassSubstitution

log = logging.getLogger("maskrcnn_benchmark")
NEVER = -1e4  # a logit that takes no part in a softmax, in half precision too


class Truth(NamedTuple):
    """Foreground pairs of a training batch, each int64 [f]."""

    rows: Tensor  # among the N pairs
    subjects: Tensor  # true classes
    predicates: Tensor
    objects: Tensor


class RelCLIPPredictor(PairEncoder):
    """logits = base + frequency bias + gamma tau (similarity to phrases); trained with RCL (docs/method.md).

    Args:
        config: the host's configuration, with the node MODEL.ROI_RELATION_HEAD.RELCLIP (defaults.py).
        in_channels: channels of a box's features.

    Raises:
        RelCLIPError: a key with a value that it cannot have, class counts that do not fit the data set, a text
            encoder that cannot be loaded.
    """

    unseen: Optional[Tensor]  # bool [R]

    def __init__(self, config: Any, in_channels: int) -> None:
        head = config.MODEL.ROI_RELATION_HEAD
        node = head.RELCLIP
        check_node(node, head.PREDICT_USE_BIAS)
        statistics = get_dataset_statistics(config)
        obj_classes, rel_classes = list(statistics["obj_classes"]), list(statistics["rel_classes"])
        check_classes("MODEL.ROI_BOX_HEAD.NUM_CLASSES", config.MODEL.ROI_BOX_HEAD.NUM_CLASSES, obj_classes)
        check_classes("MODEL.ROI_RELATION_HEAD.NUM_CLASSES", head.NUM_CLASSES, rel_classes)
        super().__init__(config, statistics, in_channels, node.CONTEXT, len(rel_classes) if node.USE_BASE else 1)

        self.num_obj_cls, self.num_rel_cls = len(obj_classes), len(rel_classes)
        self.use_bias = head.PREDICT_USE_BIAS
        self.use_alignment, self.use_rcl = node.USE_ALIGNMENT, node.USE_RCL
        self.projects = self.use_alignment or self.use_rcl
        self.image_weight, self.max_image_pairs = node.IMAGE_WEIGHT, node.IMAGE_PAIRS
        self.levels = tuple(node.LEVELS) if self.projects or self.image_weight > 0 else ()
        self.alignment_weight, self.rcl_weight = node.ALIGNMENT_WEIGHT, node.RCL_WEIGHT
        self.log_period, self.steps = node.LOG_PERIOD, 0
        self.last_metrics: Dict[str, Tensor] = {}
        tables: Dict[str, Tensor] = {}
        substitutes = head.USE_GT_OBJECT_LABEL and node.SUBSTITUTION_RATE > 0  # only names that are given can be others
        if self.levels or substitutes or (self.use_bias and node.BIAS == "phrases" and node.BIAS_WIDTH > 0):
            tables = self._load_phrases(node, obj_classes[1:], rel_classes[1:], torch.device(config.MODEL.DEVICE))
        if self.projects:
            self._build_alignment(node, statistics, tables)
        self.substitution: Optional[ClassSubstitution] = None
        if substitutes:
            similarity = [class_similarity(tables[level], node.SUBSTITUTION_WIDTH) for level in ("sp", "po")]
            self.substitution = ClassSubstitution((similarity[0] + similarity[1]) / 2, node.SUBSTITUTION_RATE)
        self.images: Optional[Tensor] = None
        if self.image_weight > 0:
            encoder = load_image_encoder(encoder_spec(node), torch.device(config.MODEL.DEVICE))
            self.pair_images = PairImages(encoder, config.INPUT, node.IMAGE_MARGIN, node.IMAGE_FIT)
        if self.use_bias:
            self.freq_bias: Any
            if node.BIAS == "triplets":
                self.freq_bias = FrequencyBias(config, statistics)
            else:
                self.freq_bias = PhrasePrior(
                    statistics["fg_matrix"],
                    (class_similarity(tables["sp"], node.BIAS_WIDTH), class_similarity(tables["po"], node.BIAS_WIDTH))
                    if node.BIAS_WIDTH > 0
                    else None,
                    leave_out=node.BIAS_LEAVE_OUT,
                )
        # Scored by its phrases alone, a predicate that training never shows must not be trained as never being right.
        # SGB's statistics leave out relations of boxes that do not overlap, so a batch may show one all the same.
        unseen = None
        if self.use_alignment and not node.USE_BASE and not self.use_bias:
            unseen = torch.as_tensor(statistics["fg_matrix"]).sum(dim=(0, 1)) == 0
            unseen[0] = False
        self.register_buffer("unseen", unseen, persistent=False)

    def _load_phrases(
        self, node: Any, objects: List[str], predicates: List[str], device: torch.device
    ) -> Dict[str, Tensor]:
        """Tables [G, R, d] of the two levels and of those that LEVELS adds; the ones to score become buffers."""
        needed = tuple(dict.fromkeys(("sp", "po") + self.levels))  # synonyms and the bias need the first two
        bank = bank_from_config(node, objects, predicates, needed, device)
        vectors = {level: bank.vectors(level, objects, predicates) for level in needed}
        means = {level: x.flatten(0, -2).mean(dim=0) if node.CENTER else None for level, x in vectors.items()}
        tables = {level: class_table(vectors[level], means[level]) for level in needed}
        test_tables: Dict[str, Tensor] = {}
        if node.TEST_PREDICATES:
            names = list(node.TEST_PREDICATES)
            bank = bank_from_config(node, objects, names, needed, device)
            test_tables = {k: class_table(bank.vectors(k, objects, names), means[k]) for k in self.levels}
        for level in self.levels:  # buffers go where the module goes, and never into a checkpoint
            self.register_buffer(f"table_{level}", tables[level], persistent=False)
            self.register_buffer(f"test_table_{level}", test_tables.get(level), persistent=False)
        return tables

    def _build_alignment(self, node: Any, statistics: Mapping[str, Any], tables: Mapping[str, Tensor]) -> None:
        """The projections to the embeddings of phrases, and what the RCL needs to know of these."""
        self.dictionaries = {
            level: training_dictionary(level, statistics["fg_matrix"])
            if node.DICTIONARY == "train"
            else full_dictionary(level, self.num_obj_cls, self.num_rel_cls)
            for level in self.levels
        }
        similarity = predicate_similarity(tables["sp"], tables["po"])
        self.negatives = (
            Negatives(node.NEGATIVES)
            if node.KEEP_SYNONYMS
            else Negatives(
                node.NEGATIVES,
                node.PHRASE_SYNONYM_THRESHOLD,
                synonymous(similarity, node.PREDICATE_SYNONYM_THRESHOLD),
            )
        )

        width = tables["sp"].shape[-1]
        self.projections = nn.ModuleDict()
        for level in self.levels:
            entities = 2 if level == "spo" else 1
            self.projections[level] = PairProjection(
                self.pooling_dim, self.entity_dim, entities, node.PROJECTION_DIM, width
            )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(node.SCALE_INIT)))
        self.max_logit_scale, self.scale_lr_factor = math.log(node.SCALE_MAX), node.SCALE_LR_FACTOR

    def scale(self) -> Tensor:
        """tau = exp(logit_scale), a scalar; its gradient is SCALE_LR_FACTOR times the true one."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=self.max_logit_scale)
        value = self.logit_scale.detach()
        return (value + self.scale_lr_factor * (self.logit_scale - value)).exp()

    def forward(
        self,
        proposals: Sequence[Any],
        rel_pair_idxs: Sequence[Tensor],
        rel_labels: Optional[Sequence[Tensor]],
        rel_binarys: Optional[Sequence[Tensor]],
        roi_features: Tensor,
        union_features: Optional[Tensor],
        logger: Any = None,
    ) -> Tuple[Sequence[Tensor], Sequence[Tensor], Dict[str, Tensor]]:
        """Logits of objects and predicates, and in training the losses that the host adds to its own.

        Args:
            proposals: one BoxList per image, with `labels` where ground truth is given, `predict_logits` elsewhere.
            rel_pair_idxs: per image int64 [m_i, 2].
            rel_labels: per image int64 [m_i], the predicate of each pair, 0 for background; None in evaluation.
            rel_binarys: per image [n_i, n_i], which objects are related; None in evaluation.
            roi_features: [n, in_channels].
            union_features: [N, MLP_HEAD_DIM], or None.

        Returns:
            per image [n_i, O]; per image [m_i, R], or in evaluation with TEST_PREDICATES [m_i, 1 + their number];
            losses by name: loss_rcl_<level>, and the tree's of vctree.
        """
        named = proposals
        if self.training and self.substitution is not None:
            named = self.substitution(proposals)
        pairs = self.encode_pairs(named, rel_pair_idxs, roi_features, union_features, logger)
        truth = None
        if self.training:
            assert rel_labels is not None
            truth = foreground_triplets(proposals, pairs, rel_labels)
        logits, losses = self.score_pairs(pairs, truth)
        if self.image_weight > 0 and not self.training:
            logits = self.ask_image_tower(logits, pairs, proposals, rel_pair_idxs)
        if self.training and pairs.tree_scores is not None:
            assert rel_binarys is not None
            losses["binary_loss"] = tree_loss(pairs.tree_scores, rel_binarys)
        object_logits = pairs.object_logits
        # The host compares them with the labels that it has. (vtranse guesses, the others hand the names back.)
        if named is not proposals and self.context != "vtranse":
            object_logits = to_onehot(torch.cat([p.get_field("labels") for p in proposals]).long(), self.num_obj_cls)
        num_objs, num_rels = [len(p) for p in proposals], [len(p) for p in rel_pair_idxs]
        return object_logits.split(num_objs), logits.split(num_rels), losses

    def score_pairs(self, pairs: Pairs, truth: Optional[Truth]) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Logits [N, R] of the predicates of all pairs, and the contrastive losses where the truth is given."""
        tables = {level: self._table(level) for level in self.levels}
        num_logits = next(iter(tables.values())).shape[1] if tables else self.num_rel_cls
        aligns = self.projects and (self.use_alignment or truth is not None)
        projections: List[Any] = [self.projections[level] for level in self.levels] if aligns else []
        layers = [self.visual_classifier()] + [projection.visual for projection in projections]
        visual_logits, *hidden = fused_linear(pairs.visual_rep, layers)
        logits = self.base_logits(pairs, visual_logits)
        logits = F.pad(logits, [0, num_logits - logits.shape[1]])  # without base, background alone has a logit
        if self.use_bias:
            logits = logits + self.freq_bias.index_with_labels(
                torch.stack([pairs.subject_label, pairs.object_label], dim=1)
            )

        losses: Dict[str, Tensor] = {}
        if aligns:
            v = {level: self.project(level, x, pairs) for level, x in zip(self.levels, hidden)}
            scale = self.scale()
            similarity = None
            if self.use_alignment:
                similarity = self.similarity(v, tables, pairs)
                logits = logits + self.alignment_weight * scale * similarity
                if truth is not None and self.unseen is not None:
                    absent = self.unseen.clone()
                    absent[truth.predicates] = False
                    logits = logits.masked_fill(absent, NEVER)
            if truth is not None:
                if self.use_rcl:
                    losses = self.rcl(v, scale, truth)
                self._note_metrics(losses, scale, similarity, truth)
        return logits, losses

    def look_at(self, images: Tensor) -> None:
        """Take the images that the next call's proposals come from, [B, 3, H, W] as the detector gets them."""
        if self.image_weight > 0:
            self.images = images

    def ask_image_tower(
        self, logits: Tensor, pairs: Pairs, proposals: Sequence[Any], rel_pair_idxs: Sequence[Tensor]
    ) -> Tensor:
        """Logits [N, R] in which the likeliest pairs' predicates are weighed by what CLIP sees (docs/method.md, 8).

        Raises:
            RelCLIPError: the host has not shown the images.
        """
        images, self.images = self.images, None
        if images is None or len(images) != len(proposals):
            raise RelCLIPError(
                f"{KEY}.IMAGE_WEIGHT needs the images: the host has to call the predictor's look_at(images) before it "
                f"(docs/method.md); set it to 0 to do without."
            )
        image_of_object = torch.repeat_interleave(torch.tensor([len(p) for p in proposals]))
        with torch.no_grad():
            rows = self._likeliest(logits, pairs, [len(p) for p in rel_pair_idxs])
            ends = torch.stack([pairs.subject[rows], pairs.object[rows]], dim=1)
            # both orders of two objects have the same picture
            crops, of_row = torch.unique(ends.sort(dim=1).values, dim=0, return_inverse=True)
            boxes = torch.cat([p.bbox for p in proposals])
            first, second = (boxes[crops[:, i]] for i in (0, 1))
            union = torch.cat(
                [torch.minimum(first[:, :2], second[:, :2]), torch.maximum(first[:, 2:], second[:, 2:])], dim=1
            )
            sizes = [p.size for p in proposals]
            seen = self.pair_images(images, sizes, image_of_object.to(crops.device)[crops[:, 0]], union)[of_row]
            some = pairs._replace(subject_label=pairs.subject_label[rows], object_label=pairs.object_label[rows])
            tables = {level: self._table(level) for level in self.levels}
            cosine = self.similarity(dict.fromkeys(self.levels, seen), tables, some)[:, 1:]
        before = at_least_single(logits[rows, 1:])
        after = before + self.image_weight * self.pair_images.encoder.scale * cosine
        # CLIP chooses among predicates; whether there is a relation at all stays as it was
        after = after + (before.logsumexp(dim=1) - after.logsumexp(dim=1))[:, None]
        return logits.index_put((rows[:, None], torch.arange(1, logits.shape[1], device=rows.device)), after.to(logits))

    def _likeliest(self, logits: Tensor, pairs: Pairs, num_rels: Sequence[int]) -> Tensor:
        """Rows, int64, of the IMAGE_PAIRS pairs of each image with the highest scores, as the host ranks triplets."""
        score = at_least_single(logits).softmax(dim=1)[:, 1:].amax(dim=1)
        if not self.use_gt_label:
            certainty = at_least_single(pairs.object_logits).softmax(dim=1)
            score = score * certainty[pairs.subject, pairs.subject_label] * certainty[pairs.object, pairs.object_label]
        rows, first = [], 0
        for part in score.split(list(num_rels)):
            rows.append(part.topk(min(len(part), self.max_image_pairs)).indices + first)
            first += len(part)
        return torch.cat(rows)

    def _table(self, level: str) -> Tensor:
        """Phrases [G, R, d] to score: the data set's predicates, or in evaluation those that TEST_PREDICATES names."""
        test_table = getattr(self, f"test_table_{level}")
        return getattr(self, f"table_{level}") if self.training or test_table is None else test_table

    def project(self, level: str, visual_hidden: Tensor, pairs: Pairs) -> Tensor:
        """Pairs in the space of a level's phrases: unit vectors [N, d]. visual_hidden: [N, PROJECTION_DIM]."""
        entities = {
            "sp": [(pairs.subject_rep, pairs.subject)],
            "po": [(pairs.object_rep, pairs.object)],
            "spo": [(pairs.subject_rep, pairs.subject), (pairs.object_rep, pairs.object)],
        }
        return self.projections[level](visual_hidden, entities[level])

    def similarity(self, v: Mapping[str, Tensor], tables: Mapping[str, Tensor], pairs: Pairs) -> Tensor:
        """Cosine [N, R] of each pair with the phrases of its own classes and each predicate, mean over levels."""
        groups = {
            "sp": pairs.subject_label,
            "po": pairs.object_label,
            "spo": pairs.subject_label * self.num_obj_cls + pairs.object_label,
        }
        levels = [group_similarity(v[level], tables[level], groups[level]) for level in self.levels]
        return torch.stack(levels).mean(dim=0)

    def rcl(self, v: Mapping[str, Tensor], scale: Tensor, truth: Truth) -> Dict[str, Tensor]:
        """The contrastive loss of each level, weighted so that their sum is RCL_WEIGHT times their mean."""
        losses = {}
        for level in self.levels:
            loss = RelationalContrastiveLoss(
                getattr(self, f"table_{level}"), self.dictionaries[level], self.num_obj_cls, self.negatives
            )
            positives = phrase_components(level, truth.subjects, truth.predicates, truth.objects)
            weight = self.rcl_weight / len(self.levels)
            losses[f"loss_rcl_{level}"] = weight * loss(v[level][truth.rows], scale, positives)
        return losses

    def _note_metrics(
        self,
        losses: Mapping[str, Tensor],
        scale: Tensor,
        similarity: Optional[Tensor],
        truth: Truth,
    ) -> None:
        """Keep what a training log should show, as tensors so that nothing waits for the device; log it at times."""
        metrics = {name.replace("loss_", ""): loss.detach() for name, loss in losses.items()}
        metrics["tau"] = scale.detach()
        if similarity is not None and len(truth.rows):
            right = similarity.detach()[truth.rows, 1:].argmax(dim=1) + 1 == truth.predicates
            metrics["alignment_accuracy"] = right.float().mean()
        self.last_metrics = metrics
        self.steps += 1
        if self.log_period and self.steps % self.log_period == 0 and is_main_process():
            log.info("RelCLIP: %s", "  ".join(f"{k}: {x:.4f}" for k, x in self.training_metrics().items()))

    def training_metrics(self) -> Dict[str, float]:
        """Values of the last training step for a log.

        rcl_<level>: its part of the loss; tau; alignment_accuracy: how often the true predicate of a foreground pair
        has the highest similarity of all predicates (not there where a batch has no such pair).
        """
        return {name: float(value) for name, value in self.last_metrics.items()}


ROI_RELATION_PREDICTOR.register("RelCLIPPredictor", RelCLIPPredictor)


def foreground_triplets(proposals: Sequence[Any], pairs: Pairs, rel_labels: Sequence[Tensor]) -> Truth:
    """The pairs of a training batch that have a predicate, with what they really are."""
    labels = torch.cat([proposal.get_field("labels") for proposal in proposals]).long()
    predicates = torch.cat(list(rel_labels)).long()
    subjects, objects = labels[pairs.subject], labels[pairs.object]
    rows = ((predicates > 0) & (subjects > 0) & (objects > 0)).nonzero()[:, 0]
    return Truth(rows, subjects[rows], predicates[rows], objects[rows])
