"""PE-Net's relation NMS against taking predicates one after the other from one big table."""

import numpy as np
import pytest
from evaluation.graphs import iou

from maskrcnn_benchmark.data.datasets.evaluation.vg.image_ranks import AnnotatedGraph, PredictedGraph, rank_graph
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS
from maskrcnn_benchmark.data.datasets.evaluation.vg.relation_nms import rel_nms, relabel

PREDICATES = 5


def naive(boxes, classes, pairs, scores, threshold):
    left = [[0.0, *row[1:]] for row in scores.tolist()]
    labels = [None] * len(pairs)
    while None in labels:
        row, label = max(
            ((i, p) for i in range(len(pairs)) if labels[i] is None for p in range(PREDICATES)),
            key=lambda place: (left[place[0]][place[1]], -place[0], -place[1]),
        )
        labels[row] = label
        for other, (s, o) in enumerate(pairs):
            mine, theirs = (classes[list(pair)].tolist() for pair in (pairs[row], (s, o)))
            fits = [
                iou(boxes[a].tolist(), boxes[b].tolist()) >= threshold for a, b in zip(pairs[row], (s, o), strict=True)
            ]
            if mine == theirs and all(fits):
                left[other][label] = 0.0
    return labels


@pytest.mark.parametrize("seed", range(4))
def test_labels_and_scores(seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 20, (7, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(15, 30, (7, 2))), 1).astype(np.float32)
    classes = rng.integers(1, 3, 7)
    pairs = np.argwhere(~np.eye(7, dtype=bool))
    scores = rng.dirichlet(np.ones(PREDICATES), len(pairs)).astype(np.float32)
    labels, kept = rel_nms(boxes, classes, pairs, scores, 0.4)
    assert labels.tolist() == naive(boxes, classes, pairs, scores, 0.4)
    np.testing.assert_array_equal(kept, scores[np.arange(len(pairs)), labels])
    assert (labels != 1 + scores[:, 1:].argmax(1)).any()


def test_order_is_that_of_pe_net():
    """By the predicate's score times the squared score of the subject."""
    boxes = np.array([[0, 0, 9, 9], [50, 50, 59, 59]], dtype=np.float32)
    pairs, scores = np.array([[0, 1], [1, 0]]), np.array([[0.1, 0.9], [0.4, 0.6]], dtype=np.float32)
    found = relabel(boxes, np.array([1, 2]), np.array([0.5, 0.9]), pairs, scores, 0.6)
    assert found.tolist() == [[1, 0, 1], [0, 1, 1]]


def test_penet_moves_the_numbers_of_predcls_and_sgcls_only():
    """Two boxes of one thing: the second pair may not repeat the predicate of the first."""
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9], [50, 50, 59, 59]], dtype=np.float32)
    classes = np.array([1, 1, 2])
    truth = AnnotatedGraph(boxes, classes, np.array([[0, 2, 1], [1, 2, 1]]))
    scores = np.array([[0, 0.6, 0.4], [0, 0.55, 0.45]], dtype=np.float32)
    predicted = PredictedGraph(boxes, classes, np.ones(3), np.array([[0, 2], [1, 2]]), scores)
    card = PROTOCOLS["penet"].with_fields(k=(1, 2), matching="once")
    assert rank_graph(truth, predicted, "predcls", card)["rank"].tolist() == [0, 2]
    assert rank_graph(truth, predicted, "sgdet", card)["rank"].tolist() == [0, 1]
    assert rank_graph(truth, predicted, "predcls", card)["nogc_rank"].tolist() == [0, 1]
