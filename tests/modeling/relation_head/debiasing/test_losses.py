"""Losses and adjustments against plain formulas."""

import pytest
import torch

from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing.cross_entropy import CrossEntropy, mean_cross_entropy
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing.logit_adjustment import (
    LogitAdjustedLoss,
    LogitAdjustment,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing.reweighting import (
    class_balanced_weights,
    inverse_frequency_weights,
)

COUNTS = torch.tensor([60.0, 30.0, 10.0], dtype=torch.float64)
LOGITS = torch.tensor([[1.0, 2.0, 0.5, -1.0], [0.0, 1.0, 1.0, 3.0], [2.0, 0.0, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4]])
LABELS = torch.tensor([1, 3, 0, -1])
LOSSES = {
    "plain": lambda: CrossEntropy(),
    "weighted": lambda: CrossEntropy(0.0, inverse_frequency_weights(COUNTS)),
    "adjusted": lambda: LogitAdjustedLoss(COUNTS, 1.0),
}


def test_weights_of_hand_computed_counts():
    torch.testing.assert_close(inverse_frequency_weights(COUNTS), torch.tensor([1, 0.5, 1, 3]).double())
    torch.testing.assert_close(inverse_frequency_weights(COUNTS, 0.0), torch.ones(4).double())
    raw = [0.5 / (1 - 0.5**n) for n in (3, 2, 1)]
    expected = [1.0, *(3 * w / sum(raw) for w in raw)]
    weights = class_balanced_weights(torch.tensor([3.0, 2.0, 1.0]).double(), 0.5)
    torch.testing.assert_close(weights, torch.tensor(expected).double())
    # towards beta 1 the effective number becomes the number
    near = class_balanced_weights(COUNTS, 1 - 1e-7)
    torch.testing.assert_close(near[1:] / near[1], COUNTS[0] / COUNTS, rtol=1e-4, atol=0)


def test_weighted_rows_are_divided_by_their_number():
    weights = torch.tensor([1.0, 0.5, 1.0, 3.0])
    rows = -LOGITS.log_softmax(dim=1)
    expected = (0.5 * rows[0, 1] + 3 * rows[1, 3] + rows[2, 0]) / 3
    torch.testing.assert_close(CrossEntropy(0.0, weights)(LOGITS, LABELS), expected)


def test_labels_of_minus_one_do_not_count():
    torch.testing.assert_close(
        mean_cross_entropy(LOGITS, LABELS, 0.01), mean_cross_entropy(LOGITS[:3], LABELS[:3], 0.01)
    )


def test_adjustment_weighs_the_predicates_of_related_pairs_and_leaves_relatedness():
    prior = (COUNTS / COUNTS.sum()).float()
    before, after = LOGITS.softmax(dim=1), LogitAdjustment(COUNTS, -0.5)(LOGITS).softmax(dim=1)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    expected = before[:, 1:] / prior**0.5
    torch.testing.assert_close(after[:, 1:] / after[:, 1:].sum(1, True), expected / expected.sum(1, True))


def test_adjustment_in_the_test_undoes_that_of_training():
    adjusted = LogitAdjustment(COUNTS, -0.7)(LogitAdjustment(COUNTS, 0.7)(LOGITS))
    torch.testing.assert_close(adjusted, LOGITS)


def test_adjusted_loss_is_the_cross_entropy_of_adjusted_probabilities():
    prior = (COUNTS / COUNTS.sum()).float()
    p = LOGITS.softmax(dim=1)
    weighted = p[:, 1:] * prior**1.5
    weighted = weighted / weighted.sum(1, True) * (1 - p[:, :1])
    expected = -(weighted[0, 0].log() + weighted[1, 2].log() + p[2, 0].log()) / 3
    torch.testing.assert_close(LogitAdjustedLoss(COUNTS, 1.5)(LOGITS, LABELS), expected)


def test_under_the_adjusted_loss_the_best_logits_do_not_know_the_counts():
    """Pairs that look alike, labelled as often as the counts say: only what is adjusted learns the prior."""
    labels = torch.repeat_interleave(torch.tensor([1, 2, 3]), COUNTS.long())
    found = {}
    for name, loss in (("plain", CrossEntropy()), ("adjusted", LogitAdjustedLoss(COUNTS, 1.0))):
        logits = torch.zeros(4, requires_grad=True)
        optimizer = torch.optim.LBFGS([logits], max_iter=100, line_search_fn="strong_wolfe")

        def closure(logits=logits, optimizer=optimizer, loss=loss):
            optimizer.zero_grad()
            value = loss(logits.expand(len(labels), 4), labels)
            value.backward()
            return value

        optimizer.step(closure)
        found[name] = logits.detach()[1:].softmax(dim=0)
    torch.testing.assert_close(found["plain"], (COUNTS / 100).float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(found["adjusted"], torch.full((3,), 1 / 3), atol=1e-2, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_also_in_half_precision_and_without_pairs(name):
    loss = LOSSES[name]()
    for logits, labels in (
        (LOGITS.clone(), LABELS),
        (100 * LOGITS.bfloat16(), LABELS),
        (LOGITS.clone(), torch.full((4,), -1)),
        (LOGITS[:0].clone(), LABELS[:0]),
    ):
        logits.requires_grad_()
        value = loss(logits, labels)
        value.backward()
        assert value.isfinite() and logits.grad.isfinite().all()
        if not (labels >= 0).any():
            assert value == 0
