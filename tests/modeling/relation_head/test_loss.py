"""Losses of predicates and object labels."""

import pytest
import torch
from support import boxlist

from maskrcnn_benchmark.modeling.roi_heads.relation_head.loss import RelationLossComputation


def proposals_of(*labels):
    return [boxlist(torch.zeros(len(x), 4), (10, 10), labels=torch.tensor(x, dtype=torch.int64)) for x in labels]


@pytest.mark.parametrize("smoothing", (False, True))
def test_losses_are_means_over_all_pairs_and_all_objects(smoothing):
    g = torch.Generator().manual_seed(0)
    relations, objects = (
        [torch.randn(m, 4, generator=g) for m in (3, 1)],
        [torch.randn(n, 5, generator=g) for n in (2, 1)],
    )
    rel_labels = [torch.tensor([0, 3, 1]), torch.tensor([2])]
    loss_rel, loss_obj = RelationLossComputation(smoothing)(proposals_of([1, 0], [4]), rel_labels, relations, objects)

    def plain(logits, labels):
        classes, e = logits.shape[1], 0.01 if smoothing else 0.0
        target = torch.full(logits.shape, e / classes)
        for row, label in enumerate(labels):
            target[row, label] += 1 - e
        return -(target * logits.log_softmax(dim=1)).sum(dim=1).mean()

    torch.testing.assert_close(loss_rel, plain(torch.cat(relations), torch.cat(rel_labels)))
    torch.testing.assert_close(loss_obj, plain(torch.cat(objects), torch.tensor([1, 0, 4])))


def test_no_pair_gives_a_zero_that_is_still_connected():
    relations = torch.zeros(0, 4, requires_grad=True)
    none = torch.zeros(0, dtype=torch.int64)
    loss_rel, _ = RelationLossComputation()(proposals_of([1]), [none], [relations], [torch.zeros(1, 5)])
    loss_rel.backward()
    assert loss_rel == 0 and relations.grad is not None
