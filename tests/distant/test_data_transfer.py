"""IETrans's transfers against an example computed by hand, and against plain loops."""

import numpy as np
import pytest
import torch
from noisy_scenes import make_labels, rows
from support import boxlist

from maskrcnn_benchmark.distant.data_transfer import (
    TransferRule,
    Unlabelled,
    external_transfer,
    internal_transfer,
    transfer,
)
from maskrcnn_benchmark.utils.errors import InputError

# One pair of classes, (1, 2), and predicates on (1), riding (2), sitting on (3); "on" also stands between (3, 4).
CLASSES = np.array([[1, 2]] * 7 + [[3, 4]] * 4)
PREDICATES = np.array([1, 1, 1, 1, 2, 2, 3, 1, 1, 1, 1])
PROBABILITIES = np.array(
    [
        [0.5, 0.4, 0.1],
        [0.5, 0.2, 0.3],
        [0.6, 0.1, 0.3],
        [0.3, 0.3, 0.4],
        [0.7, 0.2, 0.1],  # riding, taken for on
        [0.4, 0.5, 0.1],  # on average 0.55 on, 0.35 riding: on is general
        [0.6, 0.1, 0.3],  # sitting on, taken for on
        *[[0.9, 0.05, 0.05]] * 4,
    ]
)


def test_internal_transfer_of_a_hand_computed_example():
    # A(1, on, 2) = 4/8, A(1, riding, 2) = 2/2, A(1, sitting on, 2) = 1/1: both attract more than on.
    # riding wants half of the four "on": rows 0 (0.4) and 3 (0.3); sitting on wants rows 3 (0.4) and 1 (0.3, before 2).
    # Row 3 is wanted by both with equal attraction: the first keeps it.
    new = internal_transfer(CLASSES, PREDICATES, PROBABILITIES, 0.5)
    assert new.tolist() == [2, 3, 1, 2, 2, 2, 3, 1, 1, 1, 1]
    assert internal_transfer(CLASSES, PREDICATES, PROBABILITIES, 0.0).tolist() == PREDICATES.tolist()


def plain_internal(classes, predicates, probabilities, share):
    """Triplet by triplet, as the paper tells it."""
    new, attracted = predicates.copy(), np.zeros(len(predicates))
    triplets = sorted({(*c, p) for c, p in zip(classes.tolist(), predicates.tolist(), strict=True)})
    number = {
        t: sum(tuple(c) + (p,) == t for c, p in zip(classes.tolist(), predicates.tolist(), strict=True))
        for t in triplets
    }
    attraction = {t: number[t] / sum(n for u, n in number.items() if u[2] == t[2]) for t in triplets}
    for s, o, p in triplets:
        own = [i for i in range(len(new)) if tuple(classes[i]) == (s, o) and predicates[i] == p]
        mean = probabilities[own].mean(axis=0)
        general = [q for q in range(1, len(mean) + 1) if mean[q - 1] > mean[p - 1]]
        general = [q for q in general if attraction.get((s, o, q), 0) < attraction[s, o, p]]
        sources = [i for i in range(len(new)) if tuple(classes[i]) == (s, o) and predicates[i] in general]
        sources.sort(key=lambda i: -probabilities[i, p - 1])
        for i in sources[: int(share * len(sources) + 1e-9)]:
            if attracted[i] < attraction[s, o, p]:
                new[i], attracted[i] = p, attraction[s, o, p]
    return new


@pytest.mark.parametrize("seed", range(4))
def test_internal_transfer_equals_a_loop(seed):
    rng = np.random.default_rng(seed)
    classes, predicates = (
        rng.integers(1, 4, (150, 2)),
        rng.choice([1, 2, 3, 4, 5], 150, p=[0.5, 0.25, 0.15, 0.06, 0.04]),
    )
    probabilities = rng.dirichlet([2, 1.5, 1, 0.6, 0.5], 150)
    new = internal_transfer(classes, predicates, probabilities, 0.7)
    assert (new != predicates).any()
    assert new.tolist() == plain_internal(classes, predicates, probabilities, 0.7).tolist()


def test_external_transfer_takes_the_least_likely_background_and_no_head_predicate():
    pairs = Unlabelled(np.zeros(5), np.zeros((5, 2)), np.array([0.9, 0.1, 0.5, 0.2, 0.3]), np.array([2, 3, 2, 1, 2]))
    assert external_transfer(pairs, 0.6, np.array([1])).tolist() == [1, 4]
    assert external_transfer(pairs, 1.0, np.array([1])).tolist() == [0, 1, 2, 4]
    assert external_transfer(pairs, 0.0, np.array([])).tolist() == []


def scene():
    """One image of the h5 that is no training image, and one with four boxes: two overlap, the third is outside."""
    arrays = {
        "boxes_1024": np.array(
            [[50, 50, 20, 20], [50, 50, 40, 40], [60, 60, 40, 40], [2000, 50, 8, 8], [900, 900, 9, 9]]
        ),
        "labels": np.array([[1], [1], [2], [2], [2]]),
        "img_to_first_box": np.array([0, 1]),
        "img_to_last_box": np.array([0, 4]),
    }
    labels = make_labels((1, (1, 2), 2, 1.0), (1, (1, 4), 1, 1.0), (1, (1, 4), 3, 1.0), (1, (2, 3), 3, 1.0))
    kept = np.array([0, 1, 3])  # of the image's boxes
    pairs = [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    scores = torch.full((6, 4), 0.25)
    scores[0] = torch.tensor([0.1, 0.2, 0.6, 0.1])
    scores[2] = torch.tensor([0.3, 0.1, 0.1, 0.5])
    prediction = boxlist(torch.zeros(3, 4), (9, 9))
    prediction.add_field("rel_pair_idxs", torch.tensor(pairs))
    prediction.add_field("pred_rel_scores", scores)
    return labels, arrays, [(1, kept, prediction)]


def test_unlabelled_pairs_that_overlap_get_what_training_shows_for_their_classes():
    labels, arrays, predictions = scene()
    # (2, 1) overlaps and has no label, but training shows no relation of classes 2 and 1
    assert rows(transfer(labels, arrays, predictions, 4, TransferRule(0.0, 1.0, 0))) == rows(labels)
    # with such a relation elsewhere it gets the likeliest of those shown, not the likeliest of all
    more = make_labels((1, (1, 2), 2, 1.0), (1, (2, 1), 1, 1.0))
    arrays["labels"] = np.array([[1], [1], [1], [2], [2]])
    result = transfer(more, arrays, predictions, 4, TransferRule(0.0, 1.0, 0))
    assert rows(result) == rows(more)  # both orders are labelled
    one_way = make_labels((1, (1, 2), 2, 1.0), (1, (1, 2), 1, 1.0))
    given = transfer(one_way, arrays, predictions, 4, TransferRule(0.0, 1.0, 0))
    assert sorted(key[1:] for key in rows(given)) == [(1, 2, 1), (1, 2, 2), (2, 1, 1)]
    assert rows(transfer(one_way, arrays, predictions, 4, TransferRule(0.0, 1.0, 3))) == rows(one_way)


def test_what_was_not_predicted_stays_and_repeats_go():
    labels, arrays, predictions = scene()
    nothing = transfer(labels, arrays, [], 4, TransferRule(1.0, 1.0, 0))
    assert rows(nothing) == rows(labels)
    twice = make_labels((1, (1, 2), 2, 1.0), (1, (1, 2), 2, 1.0))
    assert len(transfer(twice, arrays, predictions, 4, TransferRule(0.0, 0.0, 0))) == 1


@pytest.mark.parametrize(
    ("rule", "message"), [(TransferRule(1.5), "--internal is 1.5"), (TransferRule(head=-1), "--head is -1")]
)
def test_impossible_shares_are_one_sentence(rule, message):
    with pytest.raises(InputError, match=message):
        rule.check()
