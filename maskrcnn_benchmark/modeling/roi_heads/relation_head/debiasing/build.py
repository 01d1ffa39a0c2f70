"""From the node MODEL.ROI_RELATION_HEAD.DEBIASING to the loss of predicates and what evaluation does to logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.data.scored_predicates import KEY as TEST_PREDICATES
from maskrcnn_benchmark.data.scored_predicates import scored_predicates
from maskrcnn_benchmark.utils.errors import InputError

from .cross_entropy import LABEL_SMOOTHING, CrossEntropy
from .group_collaborative import GroupCollaborativeLoss
from .logit_adjustment import LogitAdjustedLoss, LogitAdjustment
from .pair_representation import PairRepresentation
from .reweighting import class_balanced_weights, inverse_frequency_weights

KEY = "MODEL.ROI_RELATION_HEAD.DEBIASING"
# Each takes the place of the plain cross-entropy, so that one of them can be on.
_LOSSES = ("LOGIT_ADJUSTMENT_TRAIN", "CLASS_BALANCED", "INVERSE_FREQUENCY", "GROUP_RATIO")


def make_predicate_loss(cfg, predictor: nn.Module) -> nn.Module:
    """The loss of predicates, called with logits [m, R] and labels int64 [m] (0: background, -1: left out).

    Args:
        predictor: whose logits they will be.

    Raises:
        InputError: settings that cannot be, alone or together.
    """
    node = cfg.MODEL.ROI_RELATION_HEAD.DEBIASING
    _check(node)
    smoothing = LABEL_SMOOTHING if cfg.MODEL.ROI_RELATION_HEAD.LABEL_SMOOTHING_LOSS else 0.0
    if not any(node[key] for key in _LOSSES):
        return CrossEntropy(smoothing)
    counts = predicate_counts(get_dataset_statistics(cfg))
    if node.LOGIT_ADJUSTMENT_TRAIN:
        return LogitAdjustedLoss(counts, node.LOGIT_ADJUSTMENT_TRAIN, smoothing)
    if node.CLASS_BALANCED:
        return CrossEntropy(smoothing, class_balanced_weights(counts, node.CLASS_BALANCED))
    if node.INVERSE_FREQUENCY:
        return CrossEntropy(smoothing, inverse_frequency_weights(counts, node.INVERSE_FREQUENCY))
    pairs = PairRepresentation(predictor, len(counts) + 1)
    return GroupCollaborativeLoss(counts, node.GROUP_RATIO, node.GROUP_LEAST, node.GROUP_KNOWLEDGE, pairs, smoothing)


def make_test_adjustment(cfg) -> LogitAdjustment | None:
    """What evaluation does to the logits of predicates; None: nothing.

    Raises:
        InputError: there are no counts to adjust by, or not of the predicates that are scored.
    """
    strength = cfg.MODEL.ROI_RELATION_HEAD.DEBIASING.LOGIT_ADJUSTMENT_TEST
    if not strength:
        return None
    key = f"{KEY}.LOGIT_ADJUSTMENT_TEST"
    if scored_predicates(cfg):
        raise InputError(
            f"{key} is {strength} and {TEST_PREDICATES} names other predicates than those of the training set, which "
            "have no counts to adjust by: set one of the two to nothing"
        )
    counts = predicate_counts(get_dataset_statistics(cfg))
    if (counts == counts[0]).all():
        raise InputError(
            f"{key} is {strength}, but all predicates count alike: prediction of images of one's own reads no training "
            "set; set it to 0 there"
        )
    return LogitAdjustment(counts, -strength)


def predicate_counts(statistics: dict) -> Tensor:
    """How often each predicate occurs in the training set, float64 [R - 1]; at least once each."""
    return torch.as_tensor(statistics["fg_matrix"])[:, :, 1:].sum(dim=(0, 1)).double().clamp(min=1)


def _check(node) -> None:
    """Raise `InputError` where the settings cannot be."""
    on = [key for key in _LOSSES if node[key]]
    if len(on) > 1:
        raise InputError(
            f"{KEY}.{' and '.join(on)} are on; each takes the place of the loss of predicates and makes up for the "
            "same counts: leave one of them on"
        )
    if not 0 <= node.CLASS_BALANCED < 1:
        raise InputError(f"{KEY}.CLASS_BALANCED is {node.CLASS_BALANCED}; it is beta, from 0 (off) to less than 1")
    if node.GROUP_RATIO and node.GROUP_RATIO < 1:
        raise InputError(
            f"{KEY}.GROUP_RATIO is {node.GROUP_RATIO}; it must be 0 (off), or at least 1: how many times as often as "
            "the rarest predicate of a group the most frequent one may occur"
        )
    for key in ("INVERSE_FREQUENCY", "GROUP_LEAST", "GROUP_KNOWLEDGE"):
        if node[key] < 0:
            raise InputError(f"{KEY}.{key} is {node[key]}; it must be 0 or more")
