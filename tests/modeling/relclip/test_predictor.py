"""RelCLIPPredictor on every context and task: a batch equals its images, flags do what they say, edge cases hold."""

import math

import numpy as np
import pytest
import torch
from support import HEAD

from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.errors import RelCLIPError
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.phrase_bank import PhraseBank
from maskrcnn_benchmark.utils.errors import InputError

CONTEXTS = ("motifs", "vctree", "transformer", "vtranse", "none")
OBJECT_CLASSES, PREDICATE_CLASSES = 8, 6  # of the small world, with background
NO_BIAS = [HEAD + "PREDICT_USE_BIAS", False]


def project(model, pairs) -> dict:
    """Unit vectors of the pairs for each level."""
    return {
        level: model.project(level, projection.visual(pairs.visual_rep), pairs)
        for level, projection in model.projections.items()
    }


def total(losses: dict) -> torch.Tensor:
    return torch.stack(list(losses.values())).sum()


@pytest.mark.parametrize("task", ("predcls", "sgcls", "sgdet"))
@pytest.mark.parametrize("context", CONTEXTS)
def test_every_context_trains_and_predicts_in_every_task(predictor, scene, context, task):
    model, batch = predictor(task, CONTEXT=context), scene((4, 3, 2))
    objects, relations, losses = model.train()(*batch.arguments(training=True))
    assert [tuple(x.shape) for x in objects] == [(n, OBJECT_CLASSES) for n in (4, 3, 2)]
    assert [tuple(x.shape) for x in relations] == [(n * (n - 1), PREDICATE_CLASSES) for n in (4, 3, 2)]
    names = {"loss_rcl_sp", "loss_rcl_po"} | ({"binary_loss"} if context == "vctree" else set())
    assert set(losses) == names and all(loss.dim() == 0 and torch.isfinite(loss) for loss in losses.values())
    (total(losses) + sum(x.logsumexp(dim=1).sum() for x in relations)).backward()
    for name, parameter in model.named_parameters():
        if not name.startswith("context_layer"):
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name

    model.eval()
    with torch.no_grad():
        together = model(*batch.arguments(training=False))
        assert together[2] == {}
        for i in range(3):
            alone = model(*batch.image(i).arguments(training=False))
            torch.testing.assert_close(alone[0][0], together[0][i], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(alone[1][0], together[1][i], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "context, host",
    [("motifs", "MotifPredictor"), ("vctree", "VCTreePredictor"), ("transformer", "TransformerPredictor")],
)
def test_without_text_it_is_the_hosts_predictor(predictor, scene, context, host):
    ours = predictor("sgcls", CONTEXT=context, USE_ALIGNMENT=False, USE_RCL=False, BIAS="triplets")
    theirs = predictor("sgcls", host)
    theirs.load_state_dict(ours.state_dict())  # the same names and shapes
    arguments = scene().arguments(training=False)
    with torch.no_grad():
        for a, b in zip(ours.eval()(*arguments)[:2], theirs.eval()(*arguments)[:2], strict=True):
            torch.testing.assert_close(torch.cat(a), torch.cat(b), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["phrases", "triplets"])
def test_logits_are_base_plus_bias_plus_alignment(predictor, scene, kind):
    model, batch = predictor(ALIGNMENT_WEIGHT=0.7, BIAS=kind).eval(), scene()
    with torch.no_grad():
        relations = torch.cat(model(*batch.arguments(training=False))[1])
        pairs = model.encode_pairs(batch.proposals, batch.pairs, batch.roi_features, batch.union_features)
        base = model.base_logits(pairs, model.rel_compress(pairs.visual_rep))
        v_sp, v_po = (project(model, pairs)[level] for level in ("sp", "po"))
        for n in range(len(relations)):
            s, o = int(pairs.subject_label[n]), int(pairs.object_label[n])
            if kind == "phrases":
                bias = model.freq_bias.subject.weight[s] + model.freq_bias.object.weight[o]
            else:
                bias = model.freq_bias.obj_baseline.weight[s * OBJECT_CLASSES + o]
            cosine = (model.table_sp[s] @ v_sp[n] + model.table_po[o] @ v_po[n]) / 2
            expected = base[n] + bias + 0.7 / 0.07 * cosine
            torch.testing.assert_close(relations[n], expected, atol=1e-4, rtol=1e-4)
            assert cosine[0] == 0


def test_labels_of_the_pairs_are_true_ones_in_predcls_and_predicted_elsewhere(predictor, scene):
    batch = scene((3, 2))
    truth = torch.cat([p.get_field("labels") for p in batch.proposals])
    for context in CONTEXTS:
        with torch.no_grad():
            pairs = predictor("predcls", CONTEXT=context).eval().encode_pairs(*batch.arguments(False)[:2], *batch[4:])
        assert torch.equal(pairs.subject_label, truth[pairs.subject])
    for proposal in batch.proposals:  # a detector that is sure of class 3
        proposal.add_field("predict_logits", 9 * torch.eye(OBJECT_CLASSES)[3].expand(len(proposal), -1))
    with torch.no_grad():
        pairs = predictor("sgcls", CONTEXT="none").eval().encode_pairs(*batch.arguments(False)[:2], *batch[4:])
    assert (pairs.object_label == 3).all()


def run(model, batch, training=True):
    model.train(training)
    torch.manual_seed(3)
    _objects, relations, losses = model(*batch.arguments(training))
    return torch.cat(relations), losses


@pytest.mark.parametrize(
    "options, parts",
    [
        ({}, {"sp", "po"}),
        ({"LEVELS": ("sp",)}, {"sp"}),
        ({"LEVELS": ("po",)}, {"po"}),
        ({"LEVELS": ("spo",)}, {"spo"}),
        ({"LEVELS": ("sp", "po", "spo")}, {"sp", "po", "spo"}),
        ({"USE_RCL": False}, set()),
    ],
)
def test_levels_and_rcl_decide_which_losses_there_are(predictor, scene, options, parts):
    model = predictor(**options)
    _, losses = run(model, scene())
    assert set(losses) == {f"loss_rcl_{level}" for level in parts}
    assert set(model.projections) == set(options.get("LEVELS", ("sp", "po")))


def test_the_weight_of_rcl_scales_its_sum_over_levels(predictor, scene):
    one, two = predictor(LEVELS=("sp",)), predictor(RCL_WEIGHT=3.0)
    both = predictor()
    for model in (one, two):
        model.load_state_dict(both.state_dict(), strict=False)
    batch = scene()
    expected, tripled, alone = run(both, batch)[1], run(two, batch)[1], run(one, batch)[1]
    for name, loss in expected.items():
        torch.testing.assert_close(tripled[name], 3 * loss)
    torch.testing.assert_close(alone["loss_rcl_sp"], 2 * expected["loss_rcl_sp"])


def test_without_alignment_the_logits_know_nothing_of_phrases(predictor, scene):
    model, batch = predictor(USE_ALIGNMENT=False), scene()
    logits, losses = run(model, batch)
    assert len(losses) == 2
    model.table_sp.neg_()
    assert torch.equal(run(model, batch)[0], logits)


def test_without_base_only_background_has_an_own_logit(predictor, scene):
    model, batch = predictor(USE_BASE=False, host=NO_BIAS), scene()
    assert model.rel_compress.weight.shape[0] == 1 and not hasattr(model, "freq_bias")
    with torch.no_grad():
        logits, _ = run(model, batch, training=False)
        pairs = model.encode_pairs(batch.proposals, batch.pairs, batch.roi_features, batch.union_features)
    torch.testing.assert_close(logits[:, :1], model.rel_compress(pairs.visual_rep))
    with torch.no_grad():
        model.logit_scale.fill_(-200)
        assert not run(model, batch, training=False)[0][:, 1:].any()


def test_the_frequency_bias_has_the_hosts_key(predictor, scene):
    with_bias, without = predictor(), predictor(host=NO_BIAS)
    without.load_state_dict(with_bias.state_dict(), strict=False)
    batch = scene()
    difference = run(with_bias, batch, False)[0] - run(without, batch, False)[0]
    labels = torch.cat([p.get_field("labels")[pairs] for p, pairs in zip(batch.proposals, batch.pairs, strict=True)])
    torch.testing.assert_close(difference, with_bias.freq_bias.index_with_labels(labels), atol=1e-4, rtol=1e-4)


def loss_with(predictor, scene, **options):
    return total(run(predictor(**options), scene((5, 5)))[1]).item()


def test_negatives_dictionary_synonyms_templates_and_centring_change_the_loss(predictor, scene):
    """Every key of an ablation reaches what it is about."""
    settings = [
        {},
        {"NEGATIVES": "all"},
        {"NEGATIVES": "batch"},
        {"DICTIONARY": "full"},
        {"KEEP_SYNONYMS": True},
        {"PHRASE_SYNONYM_THRESHOLD": 0.8},
        {"KEEP_SYNONYMS": False, "PREDICATE_SYNONYM_THRESHOLD": 0.7},
        {"TEMPLATES.SP": ("{subject} {predicate}",)},
        {"TEMPLATES.PO": ("{predicate} the {object}",)},
        {"CENTER": True},
        {"SCALE_INIT": 5.0},
    ]
    # the tiny text tower is untrained, so that its phrases are much alike: thresholds where they part
    base = {"PHRASE_SYNONYM_THRESHOLD": 0.97, "PREDICATE_SYNONYM_THRESHOLD": 0.97}
    losses = [loss_with(predictor, scene, **{**base, **options}) for options in settings]
    for i, loss in enumerate(losses):
        for j in range(i):
            assert abs(loss - losses[j]) > 1e-6, (settings[i], settings[j])


def test_without_foreground_the_contrastive_loss_is_zero_and_connected(predictor, scene):
    model = predictor()
    _, losses = run(model, scene(foreground=False))
    assert all(loss.item() == 0 for loss in losses.values())
    total(losses).backward()
    for parameter in model.projections.parameters():
        assert parameter.grad is not None and not parameter.grad.any()
    assert "alignment_accuracy" not in model.training_metrics()


def test_one_image_with_one_object(predictor, scene):
    for context in CONTEXTS:
        model = predictor("sgdet", CONTEXT=context)
        logits, losses = run(model, scene((1,)), training=False)
        assert logits.shape == (1, PREDICATE_CLASSES) and losses == {}


def test_a_background_label_of_the_context_adds_no_alignment(predictor, scene):
    """vtranse may call an object background; no phrase is about that."""
    model, batch = predictor("sgdet", CONTEXT="vtranse").eval(), scene((2,))
    model.context_layer.pred_layer.bias.data[0] += 1000
    with torch.no_grad():
        pairs = model.encode_pairs(batch.proposals, batch.pairs, batch.roi_features, batch.union_features)
        similarity = model.similarity(project(model, pairs), {"sp": model.table_sp, "po": model.table_po}, pairs)
    assert not pairs.subject_label.any() and not similarity.any()


@pytest.mark.parametrize("dtype", (torch.bfloat16, torch.float16))
def test_autocast_keeps_text_in_single_precision(predictor, scene, dtype):
    model, batch = predictor(), scene()
    expected, losses = run(model, batch)
    with torch.autocast("cpu", dtype=dtype):
        found, found_losses = run(model, batch)
    assert all(loss.dtype == torch.float32 for loss in found_losses.values())
    torch.testing.assert_close(found.float(), expected, atol=0.3, rtol=0.1)
    for name, loss in losses.items():
        torch.testing.assert_close(found_losses[name], loss, atol=0.05, rtol=0.05)
    total(found_losses).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.projections.parameters())


def test_no_phrase_is_in_a_checkpoint(predictor):
    model = predictor()
    state = model.state_dict()
    assert not any("table" in name for name in state)
    assert {name.split(".")[0] for name in state} == {
        "context_layer", "post_emb", "post_cat", "up_dim", "rel_compress", "freq_bias", "projections", "logit_scale",
    }  # fmt: skip
    assert state["logit_scale"].shape == ()


def test_the_scale_stays_below_its_maximum_and_learns_slowly(predictor, scene):
    model = predictor(SCALE_INIT=99.0, SCALE_MAX=100.0, SCALE_LR_FACTOR=0.01)
    assert model.scale().item() == pytest.approx(99)
    model.scale().backward()
    assert model.logit_scale.grad.item() == pytest.approx(0.99)  # 0.01 of the true gradient
    with torch.no_grad():
        model.logit_scale += 1
    assert model.scale().item() == pytest.approx(100)
    assert model.logit_scale.item() == pytest.approx(math.log(100))


def test_metrics_of_the_last_step(predictor, scene, plugin_log):
    model, batch = predictor(LOG_PERIOD=2), scene((5, 5))
    _, losses = run(model, batch)
    metrics = model.training_metrics()
    assert set(metrics) == {"rcl_sp", "rcl_po", "tau", "alignment_accuracy"}
    assert metrics["rcl_sp"] == pytest.approx(losses["loss_rcl_sp"].item())
    assert metrics["tau"] == pytest.approx(1 / 0.07)

    pairs = model.encode_pairs(batch.proposals, batch.pairs, batch.roi_features, batch.union_features)
    guess = (
        model.similarity(project(model, pairs), {"sp": model.table_sp, "po": model.table_po}, pairs)[:, 1:].argmax(
            dim=1
        )
        + 1
    )
    truth = torch.cat(batch.labels)
    right = (guess == truth)[truth > 0].float().mean().item()
    assert metrics["alignment_accuracy"] == pytest.approx(right)

    assert "alignment_accuracy" not in plugin_log.text
    run(model, batch)
    assert plugin_log.text.count("alignment_accuracy") == 1


def test_an_empty_dictionary_does_not_stop_prediction(predictor, scene, statistics):
    world = statistics()
    world["fg_matrix"] = torch.zeros_like(world["fg_matrix"])
    logits, _ = run(predictor(statistics=world), scene(), training=False)
    assert torch.isfinite(logits).all()


def test_statistics_may_be_arrays(predictor, scene, statistics):
    world = statistics()
    world["fg_matrix"] = np.asarray(world["fg_matrix"])
    expected, found = (run(predictor(statistics=s), scene())[1] for s in (statistics(), world))
    assert total(expected).item() == total(found).item()


class TestUnseenPredicates:
    """Names given at test time are scored by their phrases alone."""

    OPTIONS = {"USE_BASE": False, "host": NO_BIAS}
    NAMES = ("near", "chasing", "riding")

    def test_known_names_get_the_logits_that_they_have_anyway(self, predictor, scene):
        ordinary = predictor(**self.OPTIONS)
        model = predictor(TEST_PREDICATES=self.NAMES, **self.OPTIONS)
        model.load_state_dict(ordinary.state_dict())
        expected, _ = run(ordinary, scene(), training=False)
        found, _ = run(model, scene(), training=False)
        assert found.shape[1] == 4
        torch.testing.assert_close(found[:, [0, 1, 3]], expected[:, [0, 5, 1]])

    def test_training_goes_on_with_the_data_sets_predicates(self, predictor, scene):
        logits, _ = run(predictor(TEST_PREDICATES=self.NAMES, **self.OPTIONS), scene())
        assert logits.shape[1] == PREDICATE_CLASSES

    def test_centred_phrases_lose_the_mean_of_the_training_phrases(self, predictor, scene):
        ordinary = predictor(CENTER=True, **self.OPTIONS)
        model = predictor(CENTER=True, TEST_PREDICATES=self.NAMES, **self.OPTIONS)
        model.load_state_dict(ordinary.state_dict())
        expected, _ = run(ordinary, scene(), training=False)
        found, _ = run(model, scene(), training=False)
        torch.testing.assert_close(found[:, [1, 3]], expected[:, [5, 1]])

    @pytest.mark.parametrize("options", [{}, {"USE_BASE": False}, {"USE_BASE": True, "host": NO_BIAS}])
    def test_they_need_base_and_bias_off(self, predictor, options):
        with pytest.raises(RelCLIPError, match=r"TEST_PREDICATES are scored by their phrases alone"):
            predictor(TEST_PREDICATES=("near",), **options)


def test_a_bank_from_a_file_needs_no_text_encoder(predictor, scene, bank, tmp_path, monkeypatch):
    expected, _ = run(predictor(), scene(), training=False)
    bank.save(str(tmp_path / "bank.npz"))
    monkeypatch.setitem(__import__("sys").modules, "clip", None)
    model = predictor(BANK_FILE=str(tmp_path / "bank.npz"), **{"TEXT_ENCODER.NAME": "none"})
    torch.testing.assert_close(run(model, scene(), training=False)[0], expected)
    del bank.arrays["spo"]
    bank.save(str(tmp_path / "bank.npz"))
    with pytest.raises(RelCLIPError, match=r"no array 'triplet'"):
        predictor(BANK_FILE=str(tmp_path / "bank.npz"), LEVELS=("spo",))


def test_a_bank_of_another_world_is_refused(predictor, tmp_path):
    PhraseBank(["cat"], ["on"], {}, {"sp": np.ones((1, 1, 3)), "po": np.ones((1, 1, 3))}).save(str(tmp_path / "b.npz"))
    with pytest.raises(RelCLIPError, match=r"lacks 7 of 7 names"):
        predictor(BANK_FILE=str(tmp_path / "b.npz"))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"CONTEXT": "motif"}, "RELCLIP.CONTEXT is 'motif'; it can be motifs, vctree"),
        ({"LEVELS": ("sp", "os")}, r"RELCLIP.LEVELS is \('sp', 'os'\); it can hold sp, po, spo"),
        ({"LEVELS": ("sp", "sp")}, "RELCLIP.LEVELS"),
        ({"LEVELS": ()}, "RELCLIP.LEVELS"),
        ({"NEGATIVES": "none"}, "RELCLIP.NEGATIVES is 'none'; it can be related, all, batch"),
        ({"DICTIONARY": "test"}, "RELCLIP.DICTIONARY is 'test'; it can be train, full"),
        ({"USE_BASE": False, "USE_ALIGNMENT": False, "host": NO_BIAS}, "nothing scores predicates"),
        ({"host": ["MODEL.ROI_BOX_HEAD.NUM_CLASSES", 9]}, "ROI_BOX_HEAD.NUM_CLASSES is 9.*8 classes"),
        ({"host": [HEAD + "NUM_CLASSES", 51]}, "ROI_RELATION_HEAD.NUM_CLASSES is 51.*6 classes"),
        ({"host": [HEAD + "CAUSAL.SEPARATE_SPATIAL", True]}, "SEPARATE_SPATIAL is True"),
        ({"host": ["MODEL.ATTRIBUTE_ON", True]}, "ATTRIBUTE_ON is True"),
    ],
)
def test_wrong_settings_get_one_sentence(predictor, options, message):
    with pytest.raises((RelCLIPError, InputError), match=message) as error:
        predictor(**options)
    assert error.value.user_input and "\n" not in str(error.value)


def test_without_vision_the_gate_stands_alone(predictor, scene):
    batch = scene()._replace(union_features=None)
    for context in CONTEXTS:
        model = predictor(CONTEXT=context, host=[HEAD + "PREDICT_USE_VISION", False])
        logits, losses = run(model, batch)
        assert torch.isfinite(logits).all() and torch.isfinite(total(losses))


def test_scored_by_phrases_alone_an_unseen_predicate_is_not_trained_away(predictor, scene, statistics):
    """The last predicate never occurs in training: there its logit takes no part, in evaluation it is scored."""
    batch = scene()
    model = predictor(USE_BASE=False, host=NO_BIAS)
    unseen = statistics()["fg_matrix"].sum(dim=(0, 1)) == 0
    assert unseen.tolist() == [True, False, False, False, False, True]  # the first is background, which always is
    logits, losses = run(model, batch, training=True)
    assert (logits[:, -1] < -9999).all() and (logits[:, :-1] > -999).all()
    probability = logits.softmax(dim=1)
    assert not probability[:, -1].any() and torch.isfinite(total(losses))
    with torch.no_grad():
        assert (run(model, batch, training=False)[0][:, -1] > -999).all()
    for options in ({"USE_BASE": True, "host": NO_BIAS}, {"USE_BASE": False}):
        assert (run(predictor(**options), batch, training=True)[0][:, -1] > -999).all()


def test_a_predicate_that_only_the_statistics_never_show_is_trained(predictor, scene, statistics):
    """They count relations of overlapping boxes; a batch may have others."""
    batch = scene()
    labels = [image.clone() for image in batch.labels]
    labels[0][0] = 5
    batch = batch._replace(labels=labels)
    logits, losses = run(predictor(USE_BASE=False, host=NO_BIAS), batch, training=True)
    assert (logits > -999).all()
    assert torch.nn.functional.cross_entropy(logits, torch.cat(labels)) < 20 and torch.isfinite(total(losses))
