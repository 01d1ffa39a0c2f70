"""Group collaborative learning against loops over pairs and classifiers."""

import copy

import pytest
import torch
from support import HEAD, parity_config
from torch import nn
from torch.nn import functional as F

from maskrcnn_benchmark.config import cfg as default_config
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing.group_collaborative import (
    GroupCollaborativeLoss,
    median_rates,
    predicate_groups,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing.pair_representation import (
    PairRepresentation,
    predicate_classifier,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import ROIRelationHead
from maskrcnn_benchmark.utils.errors import InputError

COUNTS = torch.tensor([8.0, 100.0, 2.0, 30.0, 90.0], dtype=torch.float64)


class Toy(nn.Module):
    """A classifier of pairs, and something that it adds to the outputs."""

    def __init__(self):
        super().__init__()
        self.classify = nn.Linear(4, 6)
        self.bias = nn.Parameter(torch.randn(6))

    def forward(self, pairs):
        return self.classify(pairs) + self.bias


@pytest.fixture
def toy():
    torch.manual_seed(0)
    return Toy()


def test_groups_end_where_predicates_become_much_rarer():
    assert [g.tolist() for g in predicate_groups(COUNTS, 4.0, 0.0)] == [[2, 5, 4], [1, 3]]
    assert [g.tolist() for g in predicate_groups(COUNTS, 2.0, 0.0)] == [[2, 5], [4], [1], [3]]
    assert [g.tolist() for g in predicate_groups(COUNTS, 4.0, 30.0)] == [[2, 5, 4, 1, 3]]
    assert [g.tolist() for g in predicate_groups(torch.ones(3), 4.0, 200.0)] == [[1, 2, 3]]


def test_groups_of_visual_genome_are_five_as_in_the_paper():
    shares = torch.tensor(default_config.MODEL.ROI_RELATION_HEAD.REL_PROP, dtype=torch.float64)
    groups = predicate_groups(shares * 345_830, 4.0, 200.0)
    assert [len(group) for group in groups] == [4, 6, 10, 20, 10]  # by the paper's own counts 4, 6, 9, 19, 12
    assert sorted(torch.cat(groups).tolist()) == list(range(1, 51))


def test_rates_bring_frequent_predicates_down_to_the_median():
    rates = median_rates(COUNTS, [torch.tensor([0, 2, 5, 4]), torch.tensor([0, 2, 5, 4, 1, 3])])
    expected = [[1, 1, 0.9, 1, 1, 1], [1, 1, 0.3, 1, 1, 30 / 90]]
    torch.testing.assert_close(rates, torch.tensor(expected))


def brute_force(loss, toy, pairs, labels, weight):
    """The loss, row by row; draws as in the module."""
    logits = toy(pairs)
    loss.pairs.take(logits)
    draws, lots = torch.rand(len(labels), 2).T
    outputs, known = [], []
    lots = (lots * len(loss.sizes)).long()
    for k, size in enumerate(loss.sizes):
        known.append([0, 2, 5, 4, 1, 3][: 1 + size])
        own = loss.classifiers[k](pairs) + toy.bias[known[k]] if k < len(loss.classifiers) else logits[:, known[k]]
        outputs.append(own)
    rates = median_rates(COUNTS, [torch.tensor(x) for x in known])
    total, taken = 0.0, []
    for k in range(len(outputs)):
        rows = [
            i
            for i, label in enumerate(labels.tolist())
            if label >= 0 and (draws[i] <= rates[k, label] if label > 0 else lots[i] == k)
        ]
        taken.append(rows)
        targets = [known[k].index(label) if label in known[k] else 0 for label in labels.tolist()]
        if rows:
            total += sum(F.cross_entropy(outputs[k][i], torch.tensor(targets[i])) for i in rows) / len(rows)
    for n in range(1, len(outputs)):
        for m in range(n):
            size = loss.sizes[m]
            for i in taken[n]:
                p = outputs[m][i, 1 : 1 + size].detach().softmax(dim=0)
                q = outputs[n][i, 1 : 1 + size].softmax(dim=0)
                share = 1.0 if labels[i] > 0 and int(labels[i]) in known[m] else 0.1
                total += weight * share * (p * (p / q).log()).sum() / len(taken[n])
    return total


@pytest.mark.parametrize("ratio", [4.0, 2.0])
@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_loss_and_gradients_equal_a_loop(toy, ratio, weight):
    loss = GroupCollaborativeLoss(COUNTS, ratio, 0.0, weight, PairRepresentation(toy, 6))
    pairs, labels = torch.randn(40, 4), torch.randint(-1, 6, (40,))
    results = []
    for compute in (lambda: loss(toy(pairs), labels), lambda: brute_force(loss, toy, pairs, labels, weight)):
        toy.zero_grad(), loss.zero_grad()
        torch.manual_seed(1)
        value = compute()
        value.backward()
        names = [*toy.named_parameters(), *loss.named_parameters()]
        results.append([value.detach(), *(p.grad.clone() for name, p in names if name != "bias")])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_no_pairs_or_none_that_count_give_zero_and_finite_gradients(toy):
    loss = GroupCollaborativeLoss(COUNTS, 2.0, 0.0, 1.0, PairRepresentation(toy, 6))
    for pairs, labels in ((torch.randn(0, 4), torch.zeros(0).long()), (torch.randn(3, 4), torch.full((3,), -1))):
        value = loss(toy(pairs), labels)
        value.backward()
        assert value == 0 and all(p.grad.isfinite().all() for p in (*toy.parameters(), *loss.parameters()))


def test_a_copy_of_a_model_listens_to_its_own_classifier(toy):
    loss = GroupCollaborativeLoss(COUNTS, 4.0, 0.0, 1.0, PairRepresentation(toy, 6))
    model = nn.ModuleDict({"predictor": toy, "loss": loss})
    other = copy.deepcopy(model)
    pairs = torch.randn(5, 4)
    value = other["loss"](other["predictor"](pairs), torch.arange(5))
    assert value.isfinite() and other["loss"].pairs is not model["loss"].pairs


def test_a_classifier_that_is_not_called_is_one_sentence(toy):
    pairs = PairRepresentation(toy, 6)
    with pytest.raises(InputError, match="Toy did not call its predicate classifier"):
        pairs.take(torch.randn(2, 6))
    toy(torch.randn(3, 4))
    with pytest.raises(InputError, match="GROUP_RATIO needs a predictor that does"):
        pairs.take(torch.randn(2, 6))
    toy.eval()
    toy(torch.randn(2, 4))
    with pytest.raises(InputError):
        pairs.take(torch.randn(2, 6))


def test_which_classifier_is_asked():
    one, two = Toy(), Toy()
    assert predicate_classifier(one, 6) is one.classify
    with pytest.raises(InputError, match="ModuleList has 2 linear layers with 6 outputs"):
        predicate_classifier(nn.ModuleList([one, two]), 6)
    both = nn.ModuleList([one, two])
    both.predicate_classifier = "1.classify"
    assert predicate_classifier(both, 6) is two.classify


def test_a_predictor_that_compares_with_prototypes_adds_nothing():
    """As PE-Net: a head projects pairs first and prototypes afterwards, and gives no logits."""
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    predictor = nn.Sequential(head)
    predictor.predicate_classifier = "0"
    listener = PairRepresentation(predictor, 6)
    pairs = torch.randn(5, 4)
    logits = head(pairs) @ head(torch.randn(6, 4)).T
    representation, rest = listener.take(logits)
    assert listener.width == 4 and representation is pairs and not rest.any()


def test_every_predictor_says_what_it_classifies(predictor, predictor_class, predictor_name, scene):
    """The classifier's input, through the classifier, and the rest are the logits."""
    model = predictor(predictor_name, "predcls").train()
    pairs = PairRepresentation(model, 51)
    batch = scene((3, 1, 2))
    logits = torch.cat(model(*batch.arguments(training=True))[1])
    representation, rest = pairs.take(logits)
    layer = predicate_classifier(model, 51)
    torch.testing.assert_close(layer(representation) + rest, logits)
    assert not rest.requires_grad and len(rest) == len(batch.union_features)


def test_with_a_predictor_of_the_host_training_and_its_checkpoint(parity_statistics, scene):
    """Built from the configuration: one classifier less than groups, and the head's other weights under their names."""
    options = [HEAD + "DEBIASING.GROUP_RATIO", 4.0, HEAD + "DEBIASING.GROUP_LEAST", 2.0]
    plain = ROIRelationHead(parity_config("predcls"), 16).state_dict()
    head = ROIRelationHead(parity_config("predcls", extra=options), 16)
    added = {k: v for k, v in head.state_dict().items() if k not in plain}
    assert added and all(k.startswith("loss_evaluator.predicate_loss.classifiers.") for k in added)
    assert len(added) == 2 * (len(head.loss_evaluator.predicate_loss.sizes) - 1)
    batch = scene((4, 3))
    batch.labels[0][:2] = -1
    obj, rel, _ = head.predictor(*batch.arguments(training=True))
    value, _ = head.loss_evaluator(batch.proposals, batch.labels, rel, obj)
    value.backward()
    assert value.isfinite()
    gradients = [p.grad for p in head.loss_evaluator.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
