"""RelCLIPPredictor: predicates by their phrases, on top of any other predictor.

`RelCLIP.forward` is the method: equations 2 to 4 of docs/method.md, from top to bottom.

Shapes: n objects, N pairs and f foreground pairs in a batch, O object classes and R predicates (background included), d
width of the text embeddings.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrase_bank import phrase_tables
from maskrcnn_benchmark.modeling.language.phrase_index import phrase_components
from maskrcnn_benchmark.modeling.language.similarity import alignment
from maskrcnn_benchmark.modeling.language.vocabulary import Calibration, ChosenPredicates, name_similarity
from maskrcnn_benchmark.modeling.registry import ROI_RELATION_PREDICTOR

from .base import PairReader, base_class, true_labels
from .defaults import KEY, check_node
from .embedding import PairEmbedding, Pairs
from .loss import accuracy, level_losses
from .targets import TextTargets, make_targets

MAX_LOGIT_SCALE = math.log(100)  # as in CLIP
NEVER = -1e4  # a logit that takes no part in a softmax, in half precision too


class Truth(NamedTuple):
    """The foreground pairs of a training batch."""

    rows: Tensor  # int64 [f], among the N pairs
    triplets: Tensor  # int64 [f, 3], true classes of subject and object, and the predicate


class RelCLIP(nn.Module):
    """logits = base + gamma tau (similarity to phrases); trained with RCL.

    Args:
        config: the host's configuration, with the nodes MODEL.ROI_RELATION_HEAD.RELCLIP and MODEL.LANGUAGE.
        visual_dim, end_dim: widths of the representations of a pair and of an object.

    Raises:
        LanguageError: a text encoder that cannot be loaded, a phrase bank that lacks a name.
    """

    unseen: Optional[Tensor]  # bool [R], predicates that training never shows

    def __init__(self, config: Any, visual_dim: int, end_dim: int) -> None:
        super().__init__()
        node = config.MODEL.ROI_RELATION_HEAD.RELCLIP
        self.use_base, self.use_alignment, self.use_rcl = node.USE_BASE, node.USE_ALIGNMENT, node.USE_RCL
        self.alignment_weight, self.rcl_weight = node.ALIGNMENT_WEIGHT, node.RCL_WEIGHT
        statistics = get_dataset_statistics(config)
        counts = torch.as_tensor(statistics["fg_matrix"])  # [O, O, R]
        self.config, self.objects = config, list(statistics["obj_classes"])[1:]
        self.predicates = list(statistics["rel_classes"])[1:]
        self.targets, negatives = make_targets(config, self.objects, self.predicates, statistics.get("predicate_pairs"))
        self.test_targets: Optional[nn.Module] = None
        self.chosen: Optional[ChosenPredicates] = None
        self.calibration = Calibration()
        width = next(iter(self.targets().values())).shape[-1]
        self.embedding = PairEmbedding(visual_dim, end_dim, node.PROJECTION_DIM, width, node.LEVELS)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(node.SCALE_INIT)))
        self.rcl = level_losses(node, counts, negatives)
        unseen = counts.sum(dim=(0, 1)) == 0
        unseen[0] = False
        self.register_buffer("unseen", unseen if unseen.any() else None, persistent=False)
        self.set_predicates(node.TEST_PREDICATES or None)
        # Of the last training step, scalars for a log: tau, and how often the true predicate of a foreground pair is
        # the one that it is most similar to.
        self.metrics: Dict[str, Tensor] = {}

    def set_predicates(self, names: Optional[Sequence[str]]) -> None:
        """Score these predicates in evaluation, by any names; None: those of the data set.

        Without USE_BASE by their phrases alone; with it as `ChosenPredicates` says, by `self.calibration`.

        Raises:
            LanguageError: a model without alignment with phrases, or a name that the phrase bank lacks.
        """
        self.test_targets = self.chosen = None
        if names is None:
            return
        if not (self.use_alignment and isinstance(self.targets, TextTargets)):
            raise LanguageError(f"{KEY}: other predicates need USE_ALIGNMENT True and TARGETS text.")
        self.test_targets = TextTargets(phrase_tables(self.config, self.objects, list(names), tuple(self.rcl)))
        self.test_targets.to(self.logit_scale.device)
        if self.use_base:
            similarity = name_similarity(self.test_targets(), self.targets())
            self.chosen = ChosenPredicates(list(names), self.predicates, similarity, self.calibration)

    def forward(self, base: Tensor, pairs: Pairs, truth: Optional[Truth] = None) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Logits of the predicates, and in training the contrastive losses.

        Args:
            base: logits of the predictor that RelCLIP stands on, [N, R].
            pairs: what it saw.
            truth: in training.

        Returns:
            [N, R], or in evaluation with other predicates [N, 1 + their number]; losses by name, loss_rcl_<level>
        """
        v = self.embedding(pairs)  # (2), of each level [N, d]
        tau = self.tau()
        if self.chosen is not None and not self.training:
            assert self.test_targets is not None
            known, other = (self.aligned(v, targets(), pairs) for targets in (self.targets, self.test_targets))
            return self.chosen.logits(base + known, known, other), {}
        tables = (self.targets if self.training or self.test_targets is None else self.test_targets)()
        logits = self.base_logits(base, tables)
        if self.use_alignment:
            similarity = alignment(v, tables, pairs.labels, len(self.objects) + 1)
            if truth is not None:
                similarity = self.without_lessons_on_unseen(similarity, truth)
            logits = logits + self.alignment_weight * tau * similarity  # (3)
        if truth is None:
            return logits, {}
        self.metrics = {"tau": tau.detach()}
        if self.use_alignment:
            self.metrics["alignment_accuracy"] = accuracy(similarity.detach()[truth.rows], truth.triplets)
        losses = self.contrast(v, tau, tables, truth) if self.use_rcl else {}  # (4)
        return self.without_unseen(logits, truth), losses

    def aligned(self, v: Mapping[str, Tensor], tables: Mapping[str, Tensor], pairs: Pairs) -> Tensor:
        """What alignment adds to the logits of the predicates of these tables: gamma tau times similarity, [N, R]."""
        return self.alignment_weight * self.tau() * alignment(v, tables, pairs.labels, len(self.objects) + 1)

    def tau(self) -> Tensor:
        """exp(logit_scale), a scalar, 100 at most."""
        with torch.no_grad():
            self.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        return self.logit_scale.exp()

    def base_logits(self, base: Tensor, tables: Mapping[str, Tensor]) -> Tensor:
        """The base's logits [N, R]; without USE_BASE that of background, beside zeros for the tables' predicates."""
        if self.use_base:
            return base
        return F.pad(base[:, :1], [0, next(iter(tables.values())).shape[1] - 1])

    def without_unseen(self, logits: Tensor, truth: Truth) -> Tensor:
        """Training logits [N, R] in which, without USE_BASE, predicates that training never shows take no part.

        Scored by its phrases alone, such a predicate must not be trained as never being right.
        """
        if self.unseen is None or self.use_base:
            return logits
        return logits.masked_fill(self.unseen_but(truth), NEVER)

    def without_lessons_on_unseen(self, similarity: Tensor, truth: Truth) -> Tensor:
        """Training's similarities [N, R], without gradient for predicates that training never shows.

        The base's classifier learns that they are never right. Their phrases must not, for `set_predicates` scores by
        them what has no classifier.
        """
        if self.unseen is None:
            return similarity
        return torch.where(self.unseen_but(truth), similarity.detach(), similarity)

    def unseen_but(self, truth: Truth) -> Tensor:
        """Bool [R], predicates that neither the training set's counts nor this batch, that of all processes, show.

        (SGB's statistics leave out relations of boxes that do not overlap, so a batch may show one all the same.)
        """
        assert self.unseen is not None
        unseen = self.unseen.int().index_fill(0, truth.triplets[:, 2], 0)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(unseen, op=torch.distributed.ReduceOp.MIN)
        return unseen.bool()

    def contrast(
        self, v: Mapping[str, Tensor], tau: Tensor, tables: Mapping[str, Tensor], truth: Truth
    ) -> Dict[str, Tensor]:
        """RCL of each level, weighted so that their sum is RCL_WEIGHT times their mean."""
        losses = {}
        for level, loss in self.rcl.items():
            positives = phrase_components(level, truth.triplets)
            parts = loss(v[level].index_select(0, truth.rows), tau, tables[level], positives)
            losses[f"loss_rcl_{level}"] = self.rcl_weight / len(v) * parts["loss"]
        return losses


def true_foreground(
    proposals: Sequence[Any], pairs: Pairs, rel_labels: Sequence[Tensor], rows: Optional[Tensor] = None
) -> Truth:
    """The pairs of a training batch that have a predicate, with what they really are; their rows where known."""
    triplets = torch.cat([true_labels(proposals)[pairs.ends], torch.cat(list(rel_labels)).long()[:, None]], dim=1)
    if rows is None:  # on a GPU the host waits for this
        rows = (triplets > 0).all(dim=1).nonzero()[:, 0]
    return Truth(rows, triplets[rows])


@functools.lru_cache(maxsize=None)
def relclip_on(base: type) -> type:
    """A predictor with RelCLIP, in its attribute `relclip`; everything of the base keeps its name."""

    class RelCLIPOnBase(base):  # type: ignore[misc, valid-type]
        takes_foreground = True  # the argument `foreground`: rows of the pairs with a predicate, int64 [f]

        def __init__(self, config: Any, in_channels: int) -> None:
            super().__init__(config, in_channels)
            self.reader = PairReader(self, config, in_channels)
            self.relclip = RelCLIP(config, self.reader.visual_dim, self.reader.end_dim)
            # losses that are means over a process's foreground pairs: the host weighs them by how many it has
            self.means_over_foreground = [f"loss_rcl_{level}" for level in self.relclip.rcl if self.relclip.use_rcl]

        def forward(
            self,
            proposals,
            rel_pair_idxs,
            rel_labels,
            rel_binarys,
            roi_features,
            union_features,
            logger=None,
            foreground=None,
        ):
            """As the base's, with its losses and loss_rcl_<level>."""
            with self.reader.listen(self) as heard:
                objects, base, losses, *_ = super().forward(
                    proposals, rel_pair_idxs, rel_labels, rel_binarys, roi_features, union_features, logger
                )
            pairs = self.reader.read(heard, proposals, rel_pair_idxs, roi_features, union_features, objects)
            truth = None
            if self.training and rel_labels is not None:
                truth = true_foreground(proposals, pairs, rel_labels, foreground)
            logits, contrastive = self.relclip(torch.cat(list(base)), pairs, truth)
            return objects, logits.split([len(p) for p in rel_pair_idxs]), {**losses, **contrastive}

    return RelCLIPOnBase


def RelCLIPPredictor(config: Any, in_channels: int) -> nn.Module:  # a class to its users, who know it by this name
    """RelCLIP on the predictor that RELCLIP.CONTEXT names; that predictor itself without alignment and RCL, and with
    VISION clip, where the host adapts CLIP's image side after the training and joins it in evaluation.

    Args:
        config: see `RelCLIP`.
        in_channels: channels of a box's features.

    Raises:
        LanguageError: a key with a value that it cannot have, or as `RelCLIP`.
    """
    node = config.MODEL.ROI_RELATION_HEAD.RELCLIP
    check_node(node)
    base, config = base_class(config)
    if node.VISION == "clip":
        if "SECOND_OPINION" not in config.MODEL.ROI_RELATION_HEAD:
            raise LanguageError(f"{KEY}.VISION clip needs a host that asks CLIP about crops, which SGB does not.")
        return base(config, in_channels)
    return (relclip_on(base) if node.USE_ALIGNMENT or node.USE_RCL else base)(config, in_channels)


ROI_RELATION_PREDICTOR.register("RelCLIPPredictor", RelCLIPPredictor)
