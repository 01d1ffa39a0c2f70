"""Objects under other names in training: how often whose, and what of a predictor's output they change."""

import pytest
import torch
from support import boxlist

from maskrcnn_benchmark.modeling.roi_heads.relation_head.loss import make_roi_relation_loss_evaluator
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.errors import RelCLIPError
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.predictor import foreground_triplets
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.prior import class_similarity
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.substitution import ClassSubstitution

SIMILARITY = torch.tensor(
    [
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.6, 0.2],
        [0.0, 0.6, 1.0, 0.1],
        [0.0, 0.2, 0.1, 1.0],
    ]
)


def named(labels):
    boxes = torch.rand(len(labels), 4)
    return boxlist(boxes, (20, 20), labels=torch.tensor(labels, dtype=torch.int64), predict_logits=boxes)


def test_names_are_drawn_by_how_alike_the_classes_are():
    torch.manual_seed(0)
    drawn = ClassSubstitution(SIMILARITY, 0.4)([named([1] * 20000)])[0].get_field("labels")
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0.0, 0.6, 0.3, 0.1]), atol=0.015, rtol=0)


def test_background_and_a_class_like_no_other_keep_their_names():
    alone = SIMILARITY.clone()
    alone[3, :3] = alone[:3, 3] = 0
    found = ClassSubstitution(alone, 0.9)([named([0, 3] * 200)])[0]
    assert found.get_field("labels").tolist() == [0, 3] * 200


def test_what_is_given_stays_as_it_is():
    given = [named([1, 2, 3] * 50), named([]), named([2])]
    before = [proposal.get_field("labels").clone() for proposal in given]
    found = ClassSubstitution(SIMILARITY, 0.5)(given)
    assert [len(proposal) for proposal in found] == [150, 0, 1]
    for proposal, labels, renamed in zip(given, before, found, strict=True):
        assert torch.equal(proposal.get_field("labels"), labels)
        assert torch.equal(renamed.bbox, proposal.bbox)
        assert torch.equal(renamed.get_field("predict_logits"), proposal.get_field("predict_logits"))
        assert renamed.get_field("labels").dtype == labels.dtype
    assert not torch.equal(found[0].get_field("labels"), before[0])


def all_of(outputs):
    objects, relations, losses = outputs
    return {"objects": torch.cat(objects), "relations": torch.cat(relations), **losses}


@pytest.mark.parametrize("context", ["motifs", "vctree", "transformer", "vtranse", "none"])
def test_the_logits_are_those_of_the_other_names(predictor, scene, context):
    """As if the host had given them; but object logits and the contrastive loss are about the true ones."""
    batch = scene((5, 4))
    model = predictor(CONTEXT=context, SUBSTITUTION_RATE=0.6)
    plain = predictor(CONTEXT=context)
    plain.load_state_dict(model.state_dict())
    torch.manual_seed(7)
    renamed = batch._replace(proposals=model.substitution(batch.proposals))
    expected, true = (all_of(plain.train()(*scene.arguments(True))) for scene in (renamed, batch))
    torch.manual_seed(7)
    found = all_of(model.train()(*batch.arguments(True)))
    torch.testing.assert_close(found["relations"], expected["relations"])
    assert not torch.allclose(found["relations"], true["relations"], atol=1e-3)
    # vtranse guesses the classes, from the names among others; the other contexts hand the names back
    torch.testing.assert_close(found["objects"], (expected if context == "vtranse" else true)["objects"])

    torch.manual_seed(7)
    model.substitution(batch.proposals)  # so that dropout draws as it did
    pairs = plain.encode_pairs(renamed.proposals, batch.pairs, batch.roi_features, batch.union_features)
    truth = foreground_triplets(batch.proposals, pairs, batch.labels)
    _, losses = plain.score_pairs(pairs, truth)
    for name in ("loss_rcl_sp", "loss_rcl_po"):
        torch.testing.assert_close(found[name], losses[name])
        assert not torch.allclose(losses[name], expected[name], atol=1e-4)


def test_the_loss_of_object_classes_does_not_mind(predictor, scene, config):
    batch = scene()
    objects, relations, _ = predictor(SUBSTITUTION_RATE=0.6).train()(*batch.arguments(True))
    evaluator = make_roi_relation_loss_evaluator(config())
    _, refinement = evaluator(batch.proposals, batch.labels, relations, objects)
    assert refinement.item() == pytest.approx(0, abs=1e-6)


def test_evaluation_and_guessed_classes_know_no_other_names(predictor, scene):
    batch = scene()
    model, plain = predictor(SUBSTITUTION_RATE=0.9), predictor()
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        found, expected = (all_of(m.eval()(*batch.arguments(False))) for m in (model, plain))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    assert predictor("sgcls", SUBSTITUTION_RATE=0.9).substitution is None
    assert set(model.state_dict()) == set(plain.state_dict())


def test_likeness_is_that_of_the_phrases_of_both_levels(predictor):
    model = predictor(SUBSTITUTION_RATE=0.3, SUBSTITUTION_WIDTH=0.5)
    chances = model.substitution.chances
    torch.testing.assert_close(chances.sum(dim=1), torch.ones(len(chances)))
    torch.testing.assert_close(chances.diagonal()[1:], torch.full((len(chances) - 1,), 0.7))
    likeness = sum(class_similarity(table, 0.5) for table in (model.table_sp, model.table_po))[1, 2:]
    torch.testing.assert_close(chances[1, 2:], 0.3 * likeness / likeness.sum())
    without_levels = predictor(SUBSTITUTION_RATE=0.3, USE_ALIGNMENT=False, USE_RCL=False, BIAS="triplets")
    assert without_levels.substitution is not None


@pytest.mark.parametrize(
    "options", [{"SUBSTITUTION_RATE": 1.0}, {"SUBSTITUTION_RATE": -0.1}, {"SUBSTITUTION_WIDTH": 0.0}]
)
def test_values_that_they_cannot_have(predictor, options):
    with pytest.raises(RelCLIPError, match="the rate can be 0 to below 1, the width more than 0"):
        predictor(**options)
