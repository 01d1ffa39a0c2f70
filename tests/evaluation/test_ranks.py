"""Recalls from ranks against recalls counted relation by relation, prediction by prediction, k by k."""

import doctest

import numpy as np
import pytest

from maskrcnn_benchmark.data.datasets.evaluation.vg import detection_ap, ranks, sgg_eval
from maskrcnn_benchmark.data.datasets.evaluation.vg.ranks import (
    MAX_RANK,
    TOP_K,
    best_relations,
    contains_triplets,
    first_match_rank,
    grouped_mean,
    object_agreement,
    rank_relations,
)
from maskrcnn_benchmark.utils.errors import InputError

NUM_CLASSES, NUM_PREDICATES = 4, 5


def random_image(rng, objects, relations, tied=False):
    """Annotated objects and relations, jittered predictions of them, and scores (of few values where tied)."""
    corner = rng.uniform(0, 30, (objects, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(5, 30, (objects, 2))), 1).astype(np.float32)
    classes = rng.integers(1, NUM_CLASSES, objects)
    gt = rng.integers(0, [objects, objects, NUM_PREDICATES - 1], (relations, 3)) + [0, 0, 1]
    guessed = np.where(rng.random(objects) < 0.7, classes, rng.integers(1, NUM_CLASSES, objects))
    pairs = np.argwhere(~np.eye(objects, dtype=bool))
    pairs = pairs[rng.permutation(len(pairs))]
    scores = rng.random((len(pairs), NUM_PREDICATES)).astype(np.float32)
    obj_scores = rng.random(objects).astype(np.float32)
    if tied:
        scores, obj_scores = np.round(scores * 2) / 2, np.ones_like(obj_scores)
    jitter = boxes + rng.normal(0, 2, boxes.shape).astype(np.float32)
    return {"boxes": boxes, "classes": classes, "gt": gt, "guessed": guessed, "pairs": pairs, "scores": scores,
            "obj_scores": obj_scores, "jitter": jitter}  # fmt: skip


def iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    inner = max(width, 0) * max(height, 0)
    return inner / ((a[2] - a[0] + 1) * (a[3] - a[1] + 1) + (b[2] - b[0] + 1) * (b[3] - b[1] + 1) - inner)


def naive_found(image, predictions, k):
    """Indices of the annotated relations that one of the first k predicted (subject, object, predicate) matches."""
    found = set()
    for subject, obj, predicate in predictions[:k]:
        for index, (gt_subject, gt_object, gt_predicate) in enumerate(image["gt"]):
            same = predicate == gt_predicate and all(
                image["guessed"][mine] == image["classes"][true]
                and iou(image["jitter"][mine], image["boxes"][true]) >= 0.5
                for mine, true in ((subject, gt_subject), (obj, gt_object))
            )
            if same:
                found.add(index)
    return found


def naive_constrained(image):
    best = []
    for (subject, obj), row in zip(image["pairs"], image["scores"], strict=True):
        predicate = max(range(1, NUM_PREDICATES), key=lambda p, row=row: (row[p], -p))
        best.append((subject, obj, predicate))
    return best


def naive_unconstrained(image):
    candidates = []
    for rank, ((subject, obj), row) in enumerate(zip(image["pairs"], image["scores"], strict=True)):
        for predicate in range(1, NUM_PREDICATES):
            score = image["obj_scores"][subject] * image["obj_scores"][obj] * row[predicate]
            candidates.append((-score, rank, predicate, (subject, obj, predicate)))
    return [relation for *_, relation in sorted(candidates)][:100]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("objects, relations", [(1, 1), (2, 1), (3, 6), (8, 12), (14, 25)])
def test_ranks_give_the_recalls_that_counting_gives(objects, relations, tied):
    rng = np.random.default_rng(objects * 10 + tied)
    for _ in range(6):
        image = random_image(rng, objects, relations, tied)
        agreement = object_agreement(image["jitter"], image["guessed"], image["boxes"], image["classes"])
        found = rank_relations(
            image["gt"], image["pairs"], image["scores"], image["obj_scores"], agreement, same_boxes=True
        )
        annotated = {tuple(pair) for pair in image["gt"][:, :2].tolist()}
        constrained = naive_constrained(image)
        lists = {
            "rank": constrained,
            "nogc_rank": naive_unconstrained(image),
            "pair_rank": [r for r in constrained if tuple(r[:2]) in annotated],
        }
        for name, predictions in lists.items():
            for k in (1, 5, *TOP_K):
                assert set(np.flatnonzero(found[name] < k)) == naive_found(image, predictions, k), (name, k)


def test_equal_annotations_count_each_for_itself():
    agreement = np.eye(2, dtype=bool)
    gt = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 1]])
    found = rank_relations(gt, np.array([[0, 1]]), np.array([[0.0, 0.1, 0.9]]), np.ones(2), agreement, same_boxes=True)
    assert found["rank"].tolist() == [0, 0, MAX_RANK]
    assert found["nogc_rank"].tolist() == [0, 0, 1]
    assert found["pair_rank"].tolist() == [0, 0, MAX_RANK]


def test_no_predictions_and_no_annotations():
    assert first_match_rank(np.zeros((0, 3), dtype=bool)).tolist() == [MAX_RANK] * 3
    assert first_match_rank(np.zeros((3, 0), dtype=bool)).tolist() == []
    groups, means = grouped_mean(np.zeros((0, 3)), np.zeros(0, dtype=np.int64))
    assert groups.shape == (0,) and means.shape == (0, 3)


def test_the_hundred_best_relations_are_those_of_a_full_stable_sort():
    rng = np.random.default_rng(0)
    pairs = np.argwhere(~np.eye(9, dtype=bool))
    for digits in (0, 1, 6):  # from nearly all equal to all different
        scores = np.round(rng.random((len(pairs), 11)), digits)
        order = np.argsort(-scores[:, 1:].ravel(), kind="stable")[:100]
        got = best_relations(pairs, scores, np.ones(9))
        np.testing.assert_array_equal(got, np.column_stack((pairs[order // 10], order % 10 + 1)))


def test_contains_triplets_is_membership():
    rng = np.random.default_rng(1)
    some, known = rng.integers(0, 4, (50, 3)), rng.integers(0, 4, (20, 3))
    expected = [tuple(row) in set(map(tuple, known.tolist())) for row in some.tolist()]
    assert contains_triplets(some, known).tolist() == expected


def test_loose_triplets_match_as_in_sgb():
    rng = np.random.default_rng(2)
    image = random_image(rng, 8, 20)
    relations = np.array(naive_constrained(image))
    triplets, boxes, scores = sgg_eval._triplet(
        relations, image["guessed"], image["jitter"], np.arange(len(relations)), image["obj_scores"]
    )
    gt_triplets, gt_boxes, none = sgg_eval._triplet(image["gt"], image["classes"], image["boxes"])
    assert none is None and scores.shape == (len(relations), 3)
    matches = sgg_eval._compute_pred_matches(gt_triplets, triplets, gt_boxes, boxes, 0.5)
    for relation, match in zip(relations, matches, strict=True):
        assert set(match) == naive_found(image, [relation], 1)
    around = sgg_eval._compute_pred_matches(gt_triplets, gt_triplets, gt_boxes, gt_boxes, 0.5, phrdet=True)
    assert all(index in match for index, match in enumerate(around))


@pytest.mark.parametrize("module", [ranks, detection_ap])
def test_examples_in_docstrings(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("decay", [0.0, 0.2, 3.0])
def test_pairs_that_cannot_matter_change_nothing(ordered, decay):
    """Many more pairs than are wanted, with ties of pairs, of predicates and at the cut."""
    rng, limit = np.random.default_rng(7), 6
    pairs = np.argwhere(~np.eye(9, dtype=bool))
    sure = np.exp(-decay * np.arange(9)).round(2).astype(np.float32)
    for _ in range(20):
        scores = rng.integers(0, 6, (len(pairs), 5)).astype(np.float32) / 5
        if ordered:
            best = scores[:, 1:].max(1) * sure[pairs].prod(1)
            pairs = pairs[np.argsort(-best, kind="stable")]
            scores = scores[np.argsort(-best, kind="stable")]
        weighted = (sure[pairs[:, 0]] * sure[pairs[:, 1]])[:, None] * scores[:, 1:]
        expected = np.argsort(-weighted, axis=None, kind="stable")[:limit]
        rows = np.column_stack((pairs[expected // 4], expected % 4 + 1))
        np.testing.assert_array_equal(best_relations(pairs, scores, sure, limit), rows)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_an_error_wherever_they_stand(value):
    pairs = np.argwhere(~np.eye(9, dtype=bool))
    for count in (1, 5, len(pairs)):
        scores = np.full((count, 4), 0.25)
        scores[-1, 2] = value
        with pytest.raises(InputError, match="nan or infinite"):
            best_relations(pairs[:count], scores, np.ones(9), 2)
        with pytest.raises(InputError, match="nan or infinite"):
            best_relations(pairs[:count], np.full((count, 4), 0.25), np.where(np.arange(9) == 0, value, 1.0), 2)
    # the score of the background does not count
    scores = np.full((len(pairs), 4), 0.25)
    scores[:, 0] = value
    assert len(best_relations(pairs, scores, np.ones(9), 2)) == 2
