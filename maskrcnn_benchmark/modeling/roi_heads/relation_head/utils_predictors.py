"""What the relation predictors share: sizes and class names, pairs of a batch, the loss of relatedness.

Shapes as in roi_relation_predictors.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maskrcnn_benchmark.data.build import get_dataset_statistics
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.global_batch import batch_mean

from .utils_relation import global_pairs, layer_init


def class_statistics(config) -> dict:
    """Statistics of the training set, after a look at whether the configured class counts fit it."""
    statistics = get_dataset_statistics(config)
    for key, number, names, kind in (
        (
            "MODEL.ROI_BOX_HEAD.NUM_CLASSES",
            config.MODEL.ROI_BOX_HEAD.NUM_CLASSES,
            statistics["obj_classes"],
            "object classes",
        ),
        (
            "MODEL.ROI_RELATION_HEAD.NUM_CLASSES",
            config.MODEL.ROI_RELATION_HEAD.NUM_CLASSES,
            statistics["rel_classes"],
            "predicates",
        ),
    ):
        if number != len(names):
            raise InputError(
                f"{key} is {number}, but the data set has {len(names)} {kind} with the background; "
                f"set it to {len(names)}."
            )
    return statistics


class RelationPredictor(nn.Module):
    """Base of the predictors: sizes, class names, and the projection of union features to CONTEXT_POOLING_DIM."""

    pairs_interact = False  # whether a pair's logits depend on which other pairs there are: then all come in one call
    needs_union_features = False  # whether PREDICT_USE_VISION must be on
    takes_separate_spatial = False  # whether CAUSAL.SEPARATE_SPATIAL may be on
    predicate_classifier: str | None = None  # the layer whose input represents pairs (debiasing/pair_representation.py)
    class_statistics = staticmethod(class_statistics)

    def __init__(self, config):
        super().__init__()
        head = config.MODEL.ROI_RELATION_HEAD
        if self.needs_union_features and not head.PREDICT_USE_VISION:
            raise InputError(
                f"{type(self).__name__} works on the features of union boxes; "
                "set MODEL.ROI_RELATION_HEAD.PREDICT_USE_VISION to True."
            )
        if head.CAUSAL.SEPARATE_SPATIAL and not self.takes_separate_spatial:
            raise InputError(
                f"{type(self).__name__} takes no separate spatial features; "
                "set MODEL.ROI_RELATION_HEAD.CAUSAL.SEPARATE_SPATIAL to False."
            )
        self.num_obj_cls = config.MODEL.ROI_BOX_HEAD.NUM_CLASSES
        self.num_rel_cls = head.NUM_CLASSES
        self.hidden_dim = head.CONTEXT_HIDDEN_DIM
        self.pooling_dim = head.CONTEXT_POOLING_DIM
        self.up_dim = None
        if self.pooling_dim != config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM:
            self.up_dim = nn.Linear(config.MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM, self.pooling_dim)
            layer_init(self.up_dim, xavier=True)

    def project_union(self, union_features: Tensor) -> Tensor:
        """[m, D] -> [m, P]"""
        return union_features if self.up_dim is None else self.up_dim(union_features)


def batch_pairs(proposals, rel_pair_idxs: Sequence[Tensor]) -> tuple[Tensor, list[int], list[int]]:
    """Pairs as indices into the objects of all images, int64 [m, 2], and how many objects and pairs each image has."""
    num_objs = [len(p) for p in proposals]
    return global_pairs(rel_pair_idxs, num_objs), num_objs, [len(pairs) for pairs in rel_pair_idxs]


def relatedness_loss(binary_preds: Sequence[Tensor], rel_binarys: Sequence[Tensor]) -> Tensor:
    """Loss of VCTree's scores of whether two objects are related at all: logits and truth [n_i, n_i] -> scalar.

    A mean over images; those without objects do not count.
    """
    losses = [
        F.binary_cross_entropy_with_logits(logits.float(), (related > 0).float())
        for logits, related in zip(binary_preds, rel_binarys, strict=True)
        if len(logits)
    ]
    total = torch.stack(losses).sum() if losses else torch.cat([x.float().flatten() for x in binary_preds]).sum()
    return batch_mean(total, len(losses))
