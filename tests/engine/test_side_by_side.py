"""Hits and misses are those of the evaluation."""

import numpy as np
import torch
from support import boxlist

from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import rank_image
from maskrcnn_benchmark.engine.side_by_side import side_by_side

CLASSES, PREDICATES = ["", "man", "horse", "hat"], ["", "riding", "wearing", "near"]


def truth():
    boxes = boxlist([[0.0, 0, 49, 49], [20, 20, 99, 99], [5, 0, 20, 10]], (100, 100), labels=torch.tensor([1, 2, 3]))
    boxes.add_field("relation_tuple", torch.tensor([[0, 1, 1], [0, 2, 2], [1, 2, 3], [0, 1, 1]]))
    return boxes


def prediction(boxes, labels, pairs, scores):
    out = boxlist(boxes, (100, 100), pred_labels=torch.tensor(labels), pred_scores=torch.ones(len(labels)))
    out.add_field("rel_pair_idxs", torch.tensor(pairs).reshape(-1, 2))
    out.add_field("pred_rel_scores", torch.tensor(scores).reshape(-1, 4))
    return out


def test_matches_are_marked_on_both_sides():
    # the horse is found, the man too, the hat not; the first relation is right, the second has another predicate
    predicted = prediction(
        [[21.0, 20, 99, 98], [0, 0, 48, 50], [60, 60, 70, 70]],
        [2, 1, 3],
        [[1, 0], [0, 1]],
        [[0.1, 0.7, 0.1, 0.1], [0.2, 0.1, 0.1, 0.6]],
    )
    left, right = side_by_side(truth(), predicted, CLASSES, PREDICATES, "sgdet")
    assert left.relations == [(0, "riding", 1), (0, "wearing", 2), (1, "near", 2)]  # the repeated one once
    assert left.found == [True, False, False] and left.found_boxes == [True, True, False]
    assert left.notes == ["(prediction 1)", "", ""] and left.title == "ground truth: 1 of 3 relations found"
    assert right.relations == [(1, "riding", 0), (0, "near", 1)]
    assert right.found == [True, False] and right.found_boxes == [True, True, False]
    assert right.notes == ["0.7", "0.6"] and right.title == "first 2 predictions: 1 are annotated"
    left, right = side_by_side(truth(), predicted, CLASSES, PREDICATES, "sgdet", top_k=0)
    assert left.found == [False] * 3 and right.relations == []


def test_hits_are_those_of_the_evaluation():
    """Random graphs: what is found among the first k has a rank below k."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        pairs = np.argwhere(~np.eye(3, dtype=bool))[rng.permutation(6)]
        scores = rng.random((6, 4)).astype(np.float32)
        boxes = truth().bbox + torch.tensor(rng.integers(-4, 5, (3, 4)))
        predicted = prediction(boxes.tolist(), rng.choice([1, 2, 3], 3).tolist(), pairs, scores)
        ranks = rank_image(truth(), predicted, "sgdet", 0.5, distinct=True)["rank"]
        for k in (1, 3, 6):
            left, _ = side_by_side(truth(), predicted, CLASSES, PREDICATES, "sgdet", top_k=k)
            assert left.found == (ranks < k).tolist()


def test_predcls_takes_the_given_objects():
    predicted = prediction(truth().bbox, [3, 3, 3], [[0, 1]], [[0.0, 1.0, 0.0, 0.0]])
    left, right = side_by_side(truth(), predicted, CLASSES, PREDICATES, "predcls")
    assert right.names == ["man", "horse", "hat"] and right.found == [True] and left.found_boxes == [True] * 3


def test_an_object_has_no_relation_with_itself():
    predicted = prediction([[0.0, 0, 49, 49]], [1], [[0, 0]], [[0.0, 1.0, 0.0, 0.0]])
    _, right = side_by_side(truth(), predicted, CLASSES, PREDICATES, "sgdet")
    assert right.relations == [] and right.title == "first 0 predictions: 0 are annotated"
