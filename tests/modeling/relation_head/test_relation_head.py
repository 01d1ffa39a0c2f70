"""The head as a whole: losses and predictions in the three tasks, images without objects, half precision."""

import numpy as np
import pytest
import torch
from support import CHANNELS, HEAD, fill, make_batch, parity_config
from torch.profiler import ProfilerActivity, profile

from maskrcnn_benchmark.modeling import poolers
from maskrcnn_benchmark.modeling.language import similarity
from maskrcnn_benchmark.modeling.roi_heads.relation_head import pair_search
from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_vctree import VCTreeLSTMContext
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import build_roi_relation_head
from maskrcnn_benchmark.utils.transfer import WAIT


def write_bank(folder, statistics):
    """Random phrases, in the format of RelCLIP's phrase banks: the path."""
    objects, predicates = statistics["obj_classes"][1:], statistics["rel_classes"][1:]
    vectors = np.random.default_rng(0).standard_normal((len(objects), len(predicates), 16), dtype=np.float32)
    tables = {"subject_predicate": vectors, "predicate_object": vectors.transpose(1, 0, 2)}
    np.savez(folder / "bank.npz", objects=np.array(objects), predicates=np.array(predicates), **tables)
    return str(folder / "bank.npz")


def make_head(task, predictor="MotifPredictor", options=()):
    torch.manual_seed(0)
    return fill(build_roi_relation_head(parity_config(task, predictor, options), CHANNELS))


@pytest.mark.parametrize("autocast", (False, True), ids=("float32", "bfloat16"))
@pytest.mark.parametrize("num_objs", ((4, 1, 3), (1,)), ids=str)
def test_training_gives_finite_losses_and_gradients(parity_statistics, task, num_objs, autocast):
    head = make_head(task).train()
    features, proposals, targets = make_batch(num_objs)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        _, _, losses = head(features, proposals, targets)
    assert set(losses) == {"loss_rel", "loss_refine_obj"}
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    nothing_to_learn = task == "predcls" and num_objs == (1,)
    assert (head.box_feature_extractor.fc6.weight.grad.abs().sum() == 0) == nothing_to_learn


def test_losses_of_the_predictor_are_passed_on(parity_statistics):
    head = make_head("predcls", "VCTreePredictor").train()
    _, _, losses = head(*make_batch((4, 2)))
    assert set(losses) == {"loss_rel", "loss_refine_obj", "binary_loss"}


def test_predictions_of_a_batch_are_those_of_its_images(parity_statistics, task):
    head = make_head(task).eval()
    features, proposals, _ = make_batch((4, 0, 1, 3))
    with torch.no_grad():
        _, batch, losses = head(features, proposals)
        assert losses == {}
        for i, result in enumerate(batch):
            _, (alone,), _ = head([level[i : i + 1] for level in features], proposals[i : i + 1])
            torch.testing.assert_close(result.bbox, alone.bbox)
            for field in ("pred_labels", "pred_scores", "rel_pair_idxs", "pred_rel_labels", "pred_rel_scores"):
                torch.testing.assert_close(result.get_field(field), alone.get_field(field), atol=1e-5, rtol=1e-4)
    assert [len(result) for result in batch] == [4, 0, 1, 3]
    assert [len(result.get_field("rel_pair_idxs")) for result in batch] == [12, 0, 1, 6]


def test_prediction_without_union_features(parity_statistics):
    head = make_head("predcls", options=[HEAD + "PREDICT_USE_VISION", False]).eval()
    with torch.no_grad():
        _, results, _ = head(*make_batch((3, 2))[:2])
    assert [result.get_field("pred_rel_scores").shape for result in results] == [(6, 51), (2, 51)]


def test_given_labels_are_predicted_with_certainty(parity_statistics):
    features, proposals, _ = make_batch((4,))
    with torch.no_grad():
        _, (result,), _ = make_head("predcls").eval()(features, proposals)
    assert torch.equal(result.get_field("pred_labels"), proposals[0].get_field("labels"))
    assert result.get_field("pred_scores").tolist() == [1.0] * 4


@pytest.mark.parametrize(
    "predictor",
    (
        "MotifPredictor",
        "VCTreePredictor",
        "TransformerPredictor",
        "IMPPredictor",
        "CausalAnalysisPredictor",
        "RelCLIPPredictor",
    ),
)
def test_a_training_step_reads_nothing_back_from_the_device_but_in_two_copies(
    parity_statistics, monkeypatch, tmp_path, predictor, task
):
    """What would make the host wait for a GPU, in a profile on the CPU; sampling, which is done on the host, apart."""
    monkeypatch.setattr(poolers, "EVERY_LEVEL", {"cpu": 2048})  # as on a GPU, here and below
    monkeypatch.setattr(similarity, "_by_groups", similarity._by_blocks)
    options = [HEAD + "CONTEXT_DROPOUT_RATE", 0.2, "MODEL.LANGUAGE.BANK_FILE", write_bank(tmp_path, parity_statistics)]
    if predictor == "CausalAnalysisPredictor":
        options += [HEAD + "CONTEXT_POOLING_DIM", 48]  # the width of the features
    head = make_head(task, predictor, options).train()
    features, proposals, targets = make_batch((4, 1, 3))
    name = "detect_relsample" if task == "sgdet" else "gtbox_relsample"
    with profile(activities=[ProfilerActivity.CPU]) as sampling:
        sample = getattr(head.samp_processor, name)(proposals, targets)
    setattr(head.samp_processor, name, lambda *_: sample)
    with profile(activities=[ProfilerActivity.CPU]) as rest:
        sum(head(features, proposals, targets)[2].values()).backward()
    counts = {event.key: event.count for event in rest.key_averages()}
    assert counts.get("aten::nonzero", 0) == counts.get("aten::_assert_async", 0) == 0
    # an LSTM on the CPU reads, on the host, how many sequences reach each step, four times for both directions
    lstms = sum(isinstance(module, torch.nn.LSTM) for module in head.modules())
    assert counts.get("aten::_local_scalar_dense", 0) == 2 * lstms
    # pairs (which are on the host already), and the scores that trees grow from
    trees = isinstance(head.predictor.context_layer, VCTreeLSTMContext)
    assert counts[WAIT] == 1 + trees
    assert {event.key: event.count for event in sampling.key_averages()}[WAIT] == 1


def peaked(features, proposals, _):
    """Detections of which a few are sure."""
    for proposal in proposals:
        logits = proposal.get_field("predict_logits")
        logits *= torch.linspace(0, 6, len(logits))[:, None]
    return features, proposals


def fields(results):
    names = ("pred_labels", "pred_scores", "rel_pair_idxs", "pred_rel_labels", "pred_rel_scores")
    return [[result.bbox, *map(result.get_field, names)] for result in results]


def test_predictions_begin_as_those_of_every_pair(parity_statistics, monkeypatch, predictor_class):
    head = make_head("sgdet", *predictor_class).eval()
    batch = peaked(*make_batch((9, 0, 1, 6)))
    results = {}
    with torch.no_grad():
        head.first_triplets = 0
        expected = fields(head(*batch)[1])
        monkeypatch.setattr(pair_search, "CALL_PAIRS", {"cpu": 13})
        monkeypatch.setattr(pair_search, "LOOK_PAIRS", 5)
        for head.first_triplets in (0, 4):
            results[head.first_triplets] = fields(head(*batch)[1])
    for image, whole in enumerate(expected):
        for i, theirs in enumerate(whole):
            torch.testing.assert_close(results[0][image][i], theirs, atol=1e-5, rtol=1e-4)
            count = len(theirs) if i < 3 else 4  # all objects, the first pairs
            torch.testing.assert_close(results[4][image][i][:count], theirs[:count], atol=1e-5, rtol=1e-4)
    if head.predictor.pairs_interact:
        assert [len(image[3]) for image in results[4]] == [72, 0, 1, 30]


@pytest.mark.parametrize("effect", ("none", "TDE"))
def test_a_search_computes_the_context_of_an_image_once(parity_statistics, monkeypatch, effect):
    options = [HEAD + "CAUSAL.EFFECT_ANALYSIS", True, HEAD + "CAUSAL.EFFECT_TYPE", effect]
    head = make_head("sgdet", "CausalAnalysisPredictor", [*options, HEAD + "CONTEXT_POOLING_DIM", 48]).eval()
    calls = {"contexts": 0, "chunks": 0}
    for layer, name in (
        (head.predictor.context_layer.obj_ctx_rnn, "contexts"),
        (head.predictor.ctx_compress, "chunks"),
    ):
        layer.register_forward_hook(lambda *_, name=name: calls.update({name: calls[name] + 1}))
    batch = peaked(*make_batch((9,)))
    with torch.no_grad():
        (expected,) = fields(head(*batch)[1])
        monkeypatch.setattr(pair_search, "LOOK_PAIRS", 1)
        calls.update(contexts=0, chunks=0)
        (found,) = fields(head(*batch)[1])
        each = 1 if effect == "none" else 2  # what is seen, and what would be seen without
        assert calls["contexts"] == each and calls["chunks"] > 10 * each
        other = fields(head(*peaked(*make_batch((8,))))[1])[0]  # nothing is left over for the next image
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert len(other[1]) == 8


@pytest.mark.parametrize(
    ("task", "options", "expected"),
    (("sgdet", [], 100), ("sgdet", ["TEST.CUSTUM_EVAL", True], 0), ("predcls", [], 0), ("sgcls", [], 0)),
)
def test_where_every_pair_counts_none_is_left_out(parity_statistics, task, options, expected):
    assert make_head(task, options=options).first_triplets == expected
