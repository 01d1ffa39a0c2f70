"""Pairs that are drawn for training and for evaluation, against a plain version of SGB's assignment."""

import pytest
import torch
from support import boxlist

from maskrcnn_benchmark.modeling.roi_heads.relation_head.sampling import RelationSampling, _weighted_sample
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou

EVERYTHING = 10**6


def sampler(require_overlap=False, per_relation=EVERYTHING, size=EVERYTHING, fraction=0.25, gt_box=True, overlap=False):
    return RelationSampling(0.5, require_overlap, per_relation, size, fraction, gt_box, overlap)


def rows(tensor):
    return sorted(map(tuple, tensor.tolist()))


def target_of(boxes, relations, labels=None, size=(100, 100)):
    relation = torch.zeros(len(boxes), len(boxes), dtype=torch.int64)
    for subject, object_, predicate in relations:
        relation[subject, object_] = predicate
    labels = torch.ones(len(boxes), dtype=torch.int64) if labels is None else labels
    target = boxlist(boxes, size, labels=labels)
    target.add_field("relation", relation, is_triplet=True)
    return target


def test_given_boxes_yield_their_relations_and_all_other_pairs():
    target = target_of(torch.zeros(3, 4), [(0, 1, 7), (2, 1, 9)])
    _, labels, pairs, binarys = sampler().gtbox_relsample([target], [target])
    assert pairs[0].tolist() == [[0, 1], [2, 1], [0, 2], [1, 0], [1, 2], [2, 0]]
    assert labels[0].tolist() == [7, 9, 0, 0, 0, 0]
    assert binarys[0].tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_a_relation_that_the_loss_leaves_out_is_a_pair_like_the_others_and_no_background():
    boxes = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]])
    target = target_of(boxes, [(0, 1, -1), (2, 1, 9)])
    _, labels, pairs, binarys = sampler().gtbox_relsample([target], [target])
    assert pairs[0].tolist()[:2] == [[0, 1], [2, 1]] and labels[0].tolist() == [-1, 9, 0, 0, 0, 0]
    _, labels, pairs, detected = sampler(gt_box=False).detect_relsample([target], [target])
    assert pairs[0].tolist()[:2] == [[0, 1], [2, 1]] and labels[0].tolist() == [-1, 9, 0, 0, 0, 0]
    assert torch.equal(binarys[0], detected[0]) and binarys[0][1, 0] == 1


def test_a_single_given_box_yields_no_pair():
    target = target_of(torch.zeros(1, 4), [])
    _, labels, pairs, binarys = sampler().gtbox_relsample([target], [target])
    assert pairs[0].shape == (0, 2) and labels[0].shape == (0,) and binarys[0].tolist() == [[0]]


def test_numbers_of_pairs_are_limited():
    torch.manual_seed(0)
    relations = [(i, i + 1, 5) for i in range(9)]
    target = target_of(torch.zeros(10, 4), relations)
    _, labels, pairs, _ = sampler(size=16).gtbox_relsample([target], [target])
    assert len(labels[0]) == len(set(rows(pairs[0]))) == 16
    assert (labels[0] > 0).sum() == 4
    few = target_of(torch.zeros(10, 4), relations[:2])
    _, labels, _, _ = sampler(size=16).gtbox_relsample([few], [few])
    assert (labels[0] > 0).sum() == 2 and len(labels[0]) == 16


def test_proposals_must_be_the_ground_truth_boxes():
    target = target_of(torch.zeros(2, 4), [])
    with pytest.raises(ValueError, match="3 proposals, but 2 ground-truth boxes"):
        sampler().gtbox_relsample([boxlist(torch.zeros(3, 4), (9, 9))], [target])


def plain_assignment(target, proposal, require_overlap):
    """Foreground triplets, background pairs and relatedness, one relation and one proposal after the other."""
    ious, own = boxlist_iou(target, proposal), boxlist_iou(proposal, proposal)
    labels = proposal.get_field("labels")
    match = (target.get_field("labels")[:, None] == labels) & (ious > 0.5)
    n, relation = len(proposal), target.get_field("relation")
    foreground, binary, taken = [], torch.zeros(n, n, dtype=torch.int64), set()
    for s, o in relation.nonzero().tolist():
        for head in range(n):
            for tail in range(n):
                if match[s, head] and match[o, tail]:
                    binary[head, tail] = binary[tail, head] = 1
                    if head != tail:
                        foreground.append((head, tail, int(relation[s, o])))
                        taken.add((head, tail))
    background = [
        (i, j, 0)
        for i in range(n)
        for j in range(n)
        if labels[i] > 0 and labels[j] > 0 and (i, j) not in taken
        if (0 < own[i, j] < 1 if require_overlap else i != j)
    ]
    return sorted(foreground), background, binary


def random_detections(seed):
    """Ground truth, and proposals jittered around it, some of another class or of none."""
    g = torch.Generator().manual_seed(seed)
    corners = 50 * torch.rand(4, 2, generator=g)
    boxes = torch.cat((corners, corners + 15 + 30 * torch.rand(4, 2, generator=g)), dim=1)
    labels = torch.randint(1, 4, (4,), generator=g)
    relations = [tuple(x) for x in torch.randint(0, 4, (5, 2), generator=g).tolist()]
    target = target_of(boxes, [(s, o, k + 1) for k, (s, o) in enumerate(relations) if s != o], labels)
    of = torch.randint(0, 4, (12,), generator=g)
    jittered = boxes[of] + 2 * torch.randn(12, 4, generator=g)
    found = torch.where(torch.rand(12, generator=g) < 0.25, torch.zeros(12, dtype=torch.int64), labels[of])
    return target, boxlist(jittered, (100, 100), labels=found)


@pytest.mark.parametrize("require_overlap", (False, True))
def test_detected_boxes_get_the_plain_assignment(require_overlap):
    for seed in range(20):
        target, proposal = random_detections(seed)
        foreground, background, binary = plain_assignment(target, proposal, require_overlap)
        _, labels, pairs, binarys = sampler(require_overlap, gt_box=False).detect_relsample([proposal], [target])
        triplets = torch.cat((pairs[0], labels[0][:, None]), dim=1)
        assert rows(triplets[: len(foreground)]) == foreground
        assert rows(triplets[len(foreground) :]) == background
        assert torch.equal(binarys[0], binary)


def test_at_most_so_many_pairs_per_relation():
    target = target_of([[0.0, 0.0, 19.0, 19.0], [40.0, 40.0, 59.0, 59.0]], [(0, 1, 3), (1, 0, 4)])
    proposal = boxlist(target.bbox.repeat(5, 1), (100, 100), labels=torch.ones(10, dtype=torch.int64))
    _, labels, pairs, _ = sampler(per_relation=4, gt_box=False).detect_relsample([proposal], [target])
    assert (labels[0] == 3).sum() == (labels[0] == 4).sum() == 4
    assert len(set(rows(pairs[0]))) == len(pairs[0])
    # pairs that stand for a relation but were not drawn are no background either
    assert set(rows(pairs[0][labels[0] == 0])).isdisjoint((i, j) for i in range(10) for j in range(10) if (i - j) % 2)


def test_detections_without_any_pair_get_one():
    target = target_of(torch.zeros(2, 4), [])
    proposal = boxlist(torch.zeros(3, 4), (100, 100), labels=torch.zeros(3, dtype=torch.int64))
    _, labels, pairs, binarys = sampler(gt_box=False).detect_relsample([proposal], [target])
    assert pairs[0].tolist() == [[0, 0]] and labels[0].tolist() == [0] and not binarys[0].any()


def test_weighted_draws_follow_the_weights():
    torch.manual_seed(0)
    groups = torch.tensor([0] * 3 + [2] * 2 + [5])
    weights = torch.tensor([1.0, 2.0, 5.0, 1.0, 1.0, 3.0])
    draws = torch.stack([_weighted_sample(groups, weights, 1) for _ in range(4000)])
    share = torch.bincount(draws.flatten(), minlength=6) / 4000
    torch.testing.assert_close(share, torch.tensor([1 / 8, 2 / 8, 5 / 8, 1 / 2, 1 / 2, 1.0]), atol=0.03, rtol=0)
    assert _weighted_sample(groups, weights, 2).shape == (5,)
    assert _weighted_sample(groups, weights, 9).tolist() == list(range(6))
    assert _weighted_sample(groups[:0], weights[:0], 2).tolist() == []


def test_evaluation_looks_at_all_pairs_or_at_those_that_overlap():
    boxes = [[0.0, 0.0, 9.0, 9.0], [5.0, 5.0, 14.0, 14.0], [50.0, 50.0, 59.0, 59.0]]
    images = [boxlist(boxes, (100, 100)), boxlist(boxes[:1], (100, 100)), boxlist(torch.zeros(0, 4), (100, 100))]
    device = torch.device("cpu")
    every, single, none = sampler(gt_box=False).prepare_test_pairs(device, images)
    assert every.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0], [2, 1]]
    assert single.tolist() == [[0, 0]]  # as in SGB; its recall counts as nought
    assert none.shape == (0, 2)
    assert sampler(gt_box=False, overlap=True).prepare_test_pairs(device, images)[0].tolist() == [[0, 1], [1, 0]]
    assert len(sampler(gt_box=True, overlap=True).prepare_test_pairs(device, images)[0]) == 6


def test_the_pairs_of_the_best_detections_are_looked_at_where_a_test_limits_them():
    boxes, scores = torch.zeros(5, 4), torch.tensor([0.3, 0.9, 0.1, 0.8, 0.5])
    detections, few = boxlist(boxes, (100, 100), pred_scores=scores), boxlist(boxes[:2], (100, 100))
    limited = RelationSampling(0.5, False, 1, 1, 0.25, False, False, max_test_pairs=4)
    found, all_of_few = limited.prepare_test_pairs(torch.device("cpu"), [detections, few])
    assert found.tolist() == [[1, 3], [3, 1], [1, 4], [4, 1]]
    assert all_of_few.tolist() == [[0, 1], [1, 0]]
    given = RelationSampling(0.5, False, 1, 1, 0.25, True, False, max_test_pairs=4)
    assert len(given.prepare_test_pairs(torch.device("cpu"), [detections])[0]) == 20
