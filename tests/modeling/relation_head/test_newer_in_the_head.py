"""PE-Net, SQUAT, BGNN and GPS-Net in the relation head: what they get from it, what it does with what they give."""

import pytest
import torch
from newer_predictors import CLASSES, NUMBERS, narrow_penet, newer_config, settle
from support import CHANNELS, HEAD, boxlist, fill, make_batch

from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import build_roi_relation_head
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_pairwise import gt_rel_proposal_matching
from maskrcnn_benchmark.modeling.roi_heads.relation_head.utils_relation import obj_prediction_nms
from maskrcnn_benchmark.utils.model_serialization import load_state_dict

RESULTS = ("pred_labels", "pred_scores", "rel_pair_idxs", "pred_rel_labels", "pred_rel_scores")


@pytest.fixture(params=CLASSES)
def name(request, monkeypatch):
    """Short name of a predictor; PE-Net is made narrow."""
    narrow_penet(monkeypatch)
    return request.param


@pytest.fixture
def head(parity_statistics):
    def make(name, task, *options):
        torch.manual_seed(0)
        return settle(fill(build_roi_relation_head(newer_config(name, task, *options), CHANNELS)))

    return make


def batch_for(task, num_objs):
    """Feature maps, proposals as the box head of that task gives them, and ground truth."""
    features, proposals, targets = make_batch(num_objs)
    for proposal in proposals:
        if task == "sgdet":
            scores, labels = proposal.get_field("predict_logits").softmax(dim=1)[:, 1:].max(dim=1)
            proposal.add_field("pred_scores", scores)
            proposal.add_field("pred_labels", labels + 1)
        else:
            del proposal.extra_fields["boxes_per_cls"]
            if task == "predcls":
                del proposal.extra_fields["predict_logits"]
    return features, proposals, targets


@pytest.mark.parametrize("num_objs", ((4, 1, 3), (1,), (3, 0), (0,)), ids=str)
def test_training_gives_finite_losses_and_gradients(name, task, head, num_objs):
    model = head(name, task).train()
    _, _, losses = model(*batch_for(task, num_objs))
    assert ("loss_refine_obj" in losses) == (name == "penet")  # the others keep the detector's labels
    sum(losses.values()).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), key


def test_predictions_of_a_batch_are_those_of_its_images(name, task, head):
    model = head(name, task).eval()
    features, proposals, _ = batch_for(task, (4, 0, 1, 3))
    fields = [proposal.fields() for proposal in proposals]
    with torch.no_grad():
        _, batch, _ = model(features, proposals)
        for i, result in enumerate(batch):
            _, (alone,), _ = model([level[i : i + 1] for level in features], proposals[i : i + 1])
            for field in RESULTS:
                torch.testing.assert_close(result.get_field(field), alone.get_field(field), atol=1e-5, rtol=1e-4)
    assert [len(result.get_field("rel_pair_idxs")) for result in batch] == [12, 0, 1, 6]
    assert [proposal.fields() for proposal in proposals] == fields  # what a predictor adds is its own affair


def test_objects_without_labels_get_those_of_the_detector_after_suppression(head):
    _, proposals, _ = batch_for("sgcls", (5, 1))
    proposals[0].bbox[1] = proposals[0].bbox[0]
    proposals[0].get_field("predict_logits")[1] = proposals[0].get_field("predict_logits")[0]
    prepared, _ = head("bgnn", "sgcls").predictor.prepare_inputs(proposals, None, None)
    for proposal, before in zip(prepared, proposals, strict=True):
        logits, boxes = before.get_field("predict_logits"), before.bbox[:, None].expand(-1, 151, -1)
        labels = proposal.get_field("pred_labels")
        assert torch.equal(labels, obj_prediction_nms(boxes, logits, 0.5))
        expected = logits.softmax(dim=1)[torch.arange(len(labels)), labels]
        torch.testing.assert_close(proposal.get_field("pred_scores"), expected)
    assert prepared[0].get_field("pred_labels")[0] != prepared[0].get_field("pred_labels")[1]


@pytest.mark.parametrize("refine", (False, True))
def test_own_object_labels_count_in_tests_where_asked_for(head, refine):
    options = (HEAD + "REL_OBJ_MULTI_TASK_LOSS", True, HEAD + "OBJECT_CLASSIFICATION_REFINE", refine)
    model = head("gpsnet", "sgcls", *options)
    features, proposals, targets = batch_for("sgcls", (6,))
    assert "loss_refine_obj" in model.train()(features, proposals, targets)[2]
    with torch.no_grad():
        _, (result,), _ = model.eval()(features, proposals)
    of_detector = proposals[0].get_field("predict_logits")[:, 1:].argmax(dim=1) + 1
    assert torch.equal(result.get_field("pred_labels"), of_detector) != refine


def test_masks_learn_the_places_of_relations_whatever_the_classes(head):
    _, proposals, targets = batch_for("sgdet", (4,))
    targets[0].get_field("relation").zero_()[0, 2] = -1  # left out of the loss of predicates
    targets[0].add_field("labels", targets[0].get_field("labels").flip(0))
    given = [torch.zeros(4, 4, dtype=torch.int64)]
    _, (related,) = head("squat", "sgdet").predictor.prepare_inputs(proposals, targets, given)
    expected = gt_rel_proposal_matching(proposals, targets, 0.5, False)[1][0]
    assert torch.equal(related, expected) and related[0, 2] == related[2, 0] == 1
    key = HEAD + "RELATION_PROPOSAL_MODEL.SET_ON"
    assert head("squat", "sgdet", key, False).predictor.prepare_inputs(proposals, targets, given)[1] is given


@pytest.mark.parametrize("overlap", (0, 1))
def test_matching_of_proposals_is_that_of_the_original(overlap):
    proposal, target = (boxlist(NUMBERS[f"matching/{kind}_boxes"], (300, 200)) for kind in ("proposal", "target"))
    target.add_field("relation", torch.from_numpy(NUMBERS["matching/relation"]), is_triplet=True)
    foreground, related = gt_rel_proposal_matching([proposal], [target], 0.5, bool(overlap))
    assert foreground[0].tolist() == NUMBERS[f"matching/fg{overlap}"].tolist()
    assert related[0].tolist() == NUMBERS[f"matching/binary{overlap}"].tolist()


def test_published_checkpoints_load_with_their_two_further_tensors(head):
    source, model = head("bgnn", "sgdet"), head("bgnn", "sgdet")
    extra = {f"roi_heads.relation.{key}": torch.zeros(1) for key in ("rel_pn_thres", "rel_pn_thres_for_test")}
    weights = {f"module.roi_heads.relation.{key}": value + 1 for key, value in source.state_dict().items()}
    model = torch.nn.ModuleDict({"roi_heads": torch.nn.ModuleDict({"relation": model})})
    report = load_state_dict(model, {**weights, **{f"module.{key}": value for key, value in extra.items()}})
    assert report.complete and report.unused == sorted(extra)
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[f"module.{key}"])


@pytest.mark.parametrize("use_alignment", [True, False])
def test_relclip_stands_on_them(name, task, parity_statistics, tmp_path, use_alignment):
    """It trains and predicts; without alignment its logits are theirs, to the last bit, under their names."""
    names = parity_statistics["obj_classes"][1:], parity_statistics["rel_classes"][1:]
    PhraseBank.random(*names, ("sp", "po"), seed=0, width=8).save(str(tmp_path / "bank.npz"))
    options = [HEAD + "PREDICTOR", "RelCLIPPredictor", HEAD + "RELCLIP.CONTEXT", CLASSES[name]]
    options += [HEAD + "RELCLIP.PROJECTION_DIM", 8, "MODEL.LANGUAGE.BANK_FILE", str(tmp_path / "bank.npz")]
    theirs = settle(fill(build_roi_relation_head(newer_config(name, task), CHANNELS)))
    ours = build_roi_relation_head(
        newer_config(name, task, *options, HEAD + "RELCLIP.USE_ALIGNMENT", use_alignment), CHANNELS
    )
    report = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert not report.unexpected_keys and all(key.startswith("predictor.relclip.") for key in report.missing_keys)
    assert ours.predictor.reader.layers["classifier"] == type(theirs.predictor).predicate_classifier
    features, proposals, targets = batch_for(task, (4, 3))
    _, _, losses = ours.train()(features, proposals, targets)
    assert {"loss_rcl_sp", "loss_rcl_po"} <= set(losses)
    sum(losses.values()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in ours.predictor.relclip.embedding.parameters())
    for num_objs in ((0, 2), (0,)):  # images without boxes
        ours.zero_grad()
        sum(ours(*batch_for(task, num_objs))[2].values()).backward()
        assert all(p.grad is None or torch.isfinite(p.grad).all() for p in ours.parameters())
    if not use_alignment:
        ours.load_state_dict(theirs.state_dict(), strict=False)  # averages moved in training
        with torch.no_grad():
            found, expected = (m.eval()(*batch_for(task, (4, 3))[:2])[1] for m in (ours, theirs))
        for a, b in zip(found, expected, strict=True):
            assert all(torch.equal(a.get_field(key), b.get_field(key)) for key in RESULTS)
