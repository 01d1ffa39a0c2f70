"""Predicates that are scored in evaluation alone (RELCLIP.TEST_PREDICATES), and the numbers a data set gives them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils.errors import InputError

KEY = "MODEL.ROI_RELATION_HEAD.RELCLIP.TEST_PREDICATES"


def scored_predicates(cfg) -> tuple[str, ...]:
    """Names of the predicates that the configured model scores in evaluation; () for those of its training set."""
    head = cfg.MODEL.ROI_RELATION_HEAD
    return tuple(head.RELCLIP.TEST_PREDICATES) if head.PREDICTOR == "RelCLIPPredictor" else ()


class Renumbering:
    """Gives predictions over a list of predicate names the numbers of a data set's dictionary.

    Args:
        names: predicates that a model scores, in the order of its outputs, without background.
        ind_to_predicates: those of the data set, background first. What `names` lacks gets the score 0.

    Raises:
        InputError: a name that the dictionary lacks, or twice the same.
    """

    def __init__(self, names: Sequence[str], ind_to_predicates: Sequence[str]) -> None:
        number = {_plain(name): i for i, name in enumerate(ind_to_predicates)}
        missing = [name for name in names if number.get(_plain(name), 0) == 0]
        if missing:
            raise InputError(
                f"{KEY} names {missing[0]!r}, which the dictionary of the evaluated data set lacks: there is no truth "
                f"to hold it against; it has {', '.join(ind_to_predicates[1:])}"
            )
        self.columns = torch.tensor([0, *(number[_plain(name)] for name in names)])
        if len(set(self.columns.tolist())) < len(self.columns):
            raise InputError(f"{KEY} names a predicate twice: {', '.join(names)}")
        self.count = len(ind_to_predicates)

    def __call__(self, prediction: BoxList) -> BoxList:
        """Replaces the fields `pred_rel_scores` [P, 1 + names] and `pred_rel_labels` [P], in place."""
        scores = prediction.get_field("pred_rel_scores")
        wide = scores.new_zeros(len(scores), self.count)
        wide[:, self.columns] = scores
        prediction.add_field("pred_rel_scores", wide)
        prediction.add_field("pred_rel_labels", self.columns[prediction.get_field("pred_rel_labels")])
        return prediction


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").split()).lower()
