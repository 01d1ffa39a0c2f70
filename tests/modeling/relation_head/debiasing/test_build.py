"""From the configuration to wrappers: what may be on, and what each does to every predictor."""

import pytest
import torch
from support import HEAD, parity_config

from maskrcnn_benchmark.data.build import use_statistics
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing import make_predicate_loss, make_test_adjustment
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing.build import predicate_counts
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing.cross_entropy import CrossEntropy
from maskrcnn_benchmark.modeling.roi_heads.relation_head.loss import RelationLossComputation
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import ROIRelationHead
from maskrcnn_benchmark.utils.errors import InputError

NODE = HEAD + "DEBIASING."
ON = {
    "LOGIT_ADJUSTMENT_TRAIN": 1.0,
    "CLASS_BALANCED": 0.99,
    "INVERSE_FREQUENCY": 1.0,
    "GROUP_RATIO": 4.0,
}


def config(**options):
    return parity_config("predcls", extra=[x for k, v in options.items() for x in (NODE + k, v)])


@pytest.fixture
def model(predictor):
    return predictor("motifs", "predcls").train()


def test_all_off_is_the_plain_loss_and_reads_no_statistics(model):
    loss = make_predicate_loss(config(), model)
    assert type(loss) is CrossEntropy and loss.weights is None
    assert make_test_adjustment(config()) is None


def test_counts_are_those_of_the_training_set_and_at_least_one(parity_statistics):
    counts = predicate_counts(parity_statistics)
    raw = parity_statistics["fg_matrix"][:, :, 1:].sum(dim=(0, 1))
    assert counts.tolist() == [max(int(n), 1) for n in raw] and (raw == 0).any()


@pytest.mark.parametrize("key", ON)
def test_every_loss_trains_every_predictor(key, predictor, predictor_name, scene):
    model = predictor(predictor_name, "predcls").train()
    evaluator = RelationLossComputation(predicate_loss=make_predicate_loss(config(**{key: ON[key]}), model))
    batch = scene((3, 1, 2))
    batch.labels[0][0] = -1
    obj, rel, losses = model(*batch.arguments(training=True))
    total = sum(evaluator(batch.proposals, batch.labels, rel, obj)) + sum(losses.values())
    total.backward()
    assert total.isfinite()
    assert all(p.grad is None or p.grad.isfinite().all() for p in (*model.parameters(), *evaluator.parameters()))


@pytest.mark.parametrize("first", ON)
def test_two_losses_at_once_are_one_sentence(first, model):
    for second in ON:
        if second != first:
            with pytest.raises(InputError, match="leave one of them on"):
                make_predicate_loss(config(**{first: ON[first], second: ON[second]}), model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"CLASS_BALANCED": 1.0}, "CLASS_BALANCED is 1.0; it is beta"),
        ({"INVERSE_FREQUENCY": -1.0}, "INVERSE_FREQUENCY is -1.0"),
        ({"GROUP_RATIO": 0.5}, "GROUP_RATIO is 0.5; it must be 0"),
        ({"GROUP_RATIO": 4.0, "GROUP_KNOWLEDGE": -1.0}, "GROUP_KNOWLEDGE is -1.0"),
    ],
)
def test_impossible_values_are_one_sentence(options, message, model):
    with pytest.raises(InputError, match=message):
        make_predicate_loss(config(**options), model)


def test_test_adjustment_needs_counts_of_the_predicates_that_are_scored(parity_statistics):
    assert make_test_adjustment(config(LOGIT_ADJUSTMENT_TEST=0.5)).strength == -0.5
    names = parity_config(
        "predcls", "RelCLIPPredictor", [NODE + "LOGIT_ADJUSTMENT_TEST", 0.5, HEAD + "RELCLIP.TEST_PREDICATES", ["on"]]
    )
    with pytest.raises(InputError, match="have no counts to adjust by"):
        make_test_adjustment(names)


def test_test_adjustment_without_a_training_set_is_one_sentence():
    with use_statistics({"fg_matrix": torch.ones(151, 151, 51)}):
        with pytest.raises(InputError, match="all predicates count alike"):
            make_test_adjustment(config(LOGIT_ADJUSTMENT_TEST=0.5))
        # the losses play no part in prediction, and must not stand in its way
        make_predicate_loss(config(CLASS_BALANCED=0.99), torch.nn.Linear(3, 51))
        make_predicate_loss(config(GROUP_RATIO=4.0), torch.nn.Linear(3, 51))


def test_evaluation_adjusts_the_logits_of_every_image(parity_statistics, scene):
    head = ROIRelationHead(config(LOGIT_ADJUSTMENT_TEST=0.5), 16).eval()
    batch, plain = scene((3, 1, 2)), [torch.randn(n, 51) for n in (6, 0, 2)]
    head.predictor.forward = lambda *args: ([torch.zeros(n, 151) for n in (3, 1, 2)], plain, {})
    _, found = head.logits(batch.proposals, batch.pairs, batch.roi_features, batch.union_features)
    adjustment = make_test_adjustment(config(LOGIT_ADJUSTMENT_TEST=0.5))
    for logits, before in zip(found, plain, strict=True):
        torch.testing.assert_close(logits, adjustment(before))
