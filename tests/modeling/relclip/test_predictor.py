"""RelCLIPPredictor on every base and task: a batch equals its images, keys do what they say, edge cases hold."""

import math

import numpy as np
import pytest
import torch
from support import HEAD

from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank
from maskrcnn_benchmark.modeling.language.similarity import alignment
from maskrcnn_benchmark.modeling.registry import ROI_RELATION_PREDICTOR
from maskrcnn_benchmark.modeling.roi_heads.relation_head.debiasing.pair_representation import (
    PairRepresentation,
    predicate_classifier,
)
from maskrcnn_benchmark.utils.errors import InputError

DIM = 48  # width of the features of boxes
POOLED = [HEAD + "CONTEXT_POOLING_DIM", DIM]  # the causal predictor takes no projected union features
SPATIAL = [HEAD + "CAUSAL.SPATIAL_FOR_VISION", False, HEAD + "CAUSAL.EFFECT_ANALYSIS", False]
# RELCLIP.CONTEXT -> the predictor that it stands on, and options of both
BASES = {
    "motifs": ("MotifPredictor", []),
    "vctree": ("VCTreePredictor", []),
    "transformer": ("TransformerPredictor", []),
    "vtranse": ("CausalAnalysisPredictor", [*POOLED, *SPATIAL, HEAD + "CAUSAL.CONTEXT_LAYER", "vtranse"]),
    "none": (None, []),
    "IMPPredictor": ("IMPPredictor", []),
    "CausalAnalysisPredictor": ("CausalAnalysisPredictor", POOLED),
}
OBJECT_CLASSES, PREDICATE_CLASSES = 8, 6  # of the small world, with background
NO_BIAS = [HEAD + "PREDICT_USE_BIAS", False]


@pytest.fixture
def on(predictor):
    """Factory of RelCLIP on a base: on(context, task, ...)."""

    def make(context, *args, host=(), **kwargs):
        return predictor(*args, CONTEXT=context, host=[*BASES[context][1], *host], **kwargs)

    return make


def total(losses: dict) -> torch.Tensor:
    return torch.stack(list(losses.values())).sum()


def run(model, batch, training=True):
    model.train(training)
    torch.manual_seed(3)
    _objects, relations, losses = model(*batch.arguments(training))
    return torch.cat(relations), losses


def pairs_of(model, batch, training=False):
    """What the predictor reads of a batch, and the base's logits of the predicates."""
    with torch.no_grad(), model.train(training).reader.listen(model) as heard:
        objects, base, _ = super(type(model), model).forward(*batch.arguments(training))
    pairs = model.reader.read(heard, batch.proposals, batch.pairs, batch.roi_features, batch.union_features, objects)
    return pairs, torch.cat(list(base))


@pytest.mark.parametrize("task", ("predcls", "sgcls", "sgdet"))
@pytest.mark.parametrize("context", BASES)
def test_every_base_trains_and_predicts_in_every_task(on, scene, context, task):
    model, batch = on(context, task), scene((4, 3, 2))
    objects, relations, losses = model.train()(*batch.arguments(training=True))
    assert [tuple(x.shape) for x in objects] == [(n, OBJECT_CLASSES) for n in (4, 3, 2)]
    assert [tuple(x.shape) for x in relations] == [(n * (n - 1), PREDICATE_CLASSES) for n in (4, 3, 2)]
    assert set(losses) >= {"loss_rcl_sp", "loss_rcl_po"} and ("binary_loss" in losses) == (context == "vctree")
    assert all(loss.dim() == 0 and torch.isfinite(loss) for loss in losses.values())
    (total(losses) + sum(x.logsumexp(dim=1).sum() for x in relations)).backward()
    for name, parameter in model.relclip.embedding.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name

    model.eval()
    with torch.no_grad():
        together = model(*batch.arguments(training=False))
        assert together[2] == {}
        for i in range(3):
            alone = model(*batch.image(i).arguments(training=False))
            torch.testing.assert_close(alone[0][0], together[0][i], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(alone[1][0], together[1][i], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("task", ("predcls", "sgcls", "sgdet"))
@pytest.mark.parametrize("context", [name for name in BASES if BASES[name][0]])
def test_without_alignment_the_logits_are_the_bases_bit_by_bit(on, predictor, scene, context, task):
    """With its parameter names: its weights load. What RelCLIP adds has names of its own."""
    name, options = BASES[context]
    theirs, batch = predictor(task, name, host=options), scene()
    for settings in ({"USE_ALIGNMENT": False, "USE_RCL": False}, {"USE_ALIGNMENT": False}):
        ours = on(context, task, seed=1, **settings)
        report = ours.load_state_dict(theirs.state_dict(), strict=False)
        assert not report.unexpected_keys
        assert {key.split(".")[0] for key in report.missing_keys} <= {"relclip"}
        for training in (True, False):
            torch.manual_seed(3)
            expected = theirs.train(training)(*batch.arguments(training))
            torch.manual_seed(3)
            found = ours.train(training)(*batch.arguments(training))
            for a, b in zip([*expected[0], *expected[1]], [*found[0], *found[1]], strict=True):
                assert torch.equal(a, b)
            assert {key: loss for key, loss in found[2].items() if "rcl" not in key} == expected[2]


@pytest.mark.parametrize("context", BASES)
def test_logits_are_base_plus_alignment(on, scene, context):
    model, batch = on(context, ALIGNMENT_WEIGHT=0.7), scene()
    found = run(model, batch, training=False)[0]
    pairs, base = pairs_of(model, batch)
    tables, v = model.relclip.targets(), model.relclip.embedding(pairs)
    for n in range(len(found)):
        s, o = pairs.labels[n].tolist()
        cosine = (tables["sp"][s] @ v["sp"][n] + tables["po"][o] @ v["po"][n]) / 2
        torch.testing.assert_close(found[n], base[n] + 0.7 / 0.07 * cosine, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("context", BASES)
def test_further_classifiers_can_listen_to_the_base(on, scene, context):
    """Group collaborative learning: the base's classifier on what it saw, and all that is added, are the logits."""
    model, batch = on(context, "predcls"), scene((3, 1, 2))
    pairs = PairRepresentation(model, PREDICATE_CLASSES)
    logits, _ = run(model, batch)
    representation, rest = pairs.take(logits)
    layer = predicate_classifier(model, PREDICATE_CLASSES)
    torch.testing.assert_close(layer(representation) + rest, logits)


def test_classes_are_the_true_ones_where_they_are_given_and_the_bases_else(on, scene):
    batch = scene()
    truth = torch.cat([p.get_field("labels") for p in batch.proposals])
    for context in BASES:
        pairs, _ = pairs_of(on(context), batch)
        assert torch.equal(pairs.labels, truth[pairs.ends])
    for proposal in batch.proposals:  # a detector that is sure of class 3
        proposal.add_field("predict_logits", 9 * torch.eye(OBJECT_CLASSES)[3].expand(len(proposal), -1))
    pairs, _ = pairs_of(on("none", "sgcls"), batch)
    assert (pairs.labels == 3).all()


@pytest.mark.parametrize(
    "options, parts",
    [
        ({}, {"sp", "po"}),
        ({"LEVELS": ("sp",)}, {"sp"}),
        ({"LEVELS": ("po",)}, {"po"}),
        ({"LEVELS": ("spo",)}, {"spo"}),
        ({"LEVELS": ("sp", "po", "spo")}, {"sp", "po", "spo"}),
        ({"LEVELS": ("sp", "po", "spo"), "TARGETS": "learnt"}, {"sp", "po", "spo"}),
        ({"USE_RCL": False}, set()),
    ],
)
def test_levels_and_rcl_decide_which_losses_there_are(predictor, scene, options, parts):
    model = predictor(**options)
    _, losses = run(model, scene())
    assert set(losses) == {f"loss_rcl_{level}" for level in parts}
    assert set(model.relclip.embedding.out) == set(options.get("LEVELS", ("sp", "po")))


def test_the_weight_of_rcl_scales_its_mean_over_levels(predictor, scene):
    both, tripled = predictor(), predictor(RCL_WEIGHT=3.0)
    tripled.load_state_dict(both.state_dict())
    batch = scene()
    expected, found = run(both, batch)[1], run(tripled, batch)[1]
    for name, loss in expected.items():
        torch.testing.assert_close(found[name], 3 * loss)
    pairs, _ = pairs_of(both, batch, training=True)
    truth = torch.cat(batch.labels)
    rows = (truth > 0).nonzero()[:, 0]
    labels = torch.cat([p.get_field("labels") for p in batch.proposals])[pairs.ends[rows]]
    positives = torch.stack([labels[:, 0], truth[rows]], dim=1)
    v = both.relclip.embedding(pairs)["sp"][rows]
    alone = both.relclip.rcl["sp"](v, both.relclip.tau(), both.relclip.targets()["sp"], positives)["loss"]
    torch.testing.assert_close(expected["loss_rcl_sp"], alone / 2)


def test_without_alignment_the_logits_know_nothing_of_phrases(predictor, scene):
    model, batch = predictor(USE_ALIGNMENT=False), scene()
    logits, losses = run(model, batch)
    assert len(losses) == 2
    model.relclip.targets.sp.neg_()
    assert torch.equal(run(model, batch)[0], logits)


def test_without_base_only_background_has_an_own_logit(predictor, scene):
    model, batch = predictor(USE_BASE=False), scene()
    with torch.no_grad():
        logits, _ = run(model, batch, training=False)
        _, base = pairs_of(model, batch)
    torch.testing.assert_close(logits[:, 0], base[:, 0])
    with torch.no_grad():
        model.relclip.logit_scale.fill_(-200)
        assert not run(model, batch, training=False)[0][:, 1:].any()


def test_the_control_learns_vectors_in_place_of_phrases(predictor, scene):
    model, batch = predictor(TARGETS="learnt"), scene()
    tables = model.relclip.targets()
    assert {level: tuple(table.shape) for level, table in tables.items()} == {"sp": (8, 6, 512), "po": (8, 6, 512)}
    assert not tables["sp"][0].any() and not tables["sp"][:, 0].any()
    s, p = model.relclip.targets.objects["sp"][0].weight[3], model.relclip.targets.predicates["sp"].weight[2]
    torch.testing.assert_close(tables["sp"][3, 2], torch.nn.functional.normalize(s + p, dim=0))
    logits, losses = run(model, batch)
    (total(losses) + logits.logsumexp(dim=1).sum()).backward()
    for name, parameter in model.relclip.targets.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    assert {name for name in model.state_dict() if name.startswith("relclip.targets")}


def loss_with(predictor, scene, **options):
    return total(run(predictor(**options), scene((5, 5)))[1]).item()


def test_negatives_dictionary_synonyms_and_templates_change_the_loss(predictor, scene):
    """Every key of an ablation reaches what it is about."""
    settings = [
        {},
        {"NEGATIVES": "all"},
        {"NEGATIVES": "batch"},
        {"DICTIONARY": "full"},
        {"SYNONYMS": "none"},
        {"language": {"TEMPLATES.SP": ("{subject} {predicate}",)}},
        {"language": {"TEMPLATES.PO": ("{predicate} the {object}",)}},
        {"TARGETS": "learnt"},
        {"SCALE_INIT": 5.0},
    ]
    losses = [loss_with(predictor, scene, **{"SYNONYMS": "vg150", **options}) for options in settings]
    for i, loss in enumerate(losses):
        for j in range(i):
            assert abs(loss - losses[j]) > 1e-6, (settings[i], settings[j])


def test_without_foreground_the_contrastive_loss_is_zero_and_connected(predictor, scene):
    model = predictor()
    _, losses = run(model, scene(foreground=False))
    assert all(loss.item() == 0 for loss in losses.values())
    total(losses).backward()
    for parameter in model.relclip.embedding.parameters():
        assert parameter.grad is not None and not parameter.grad.any()
    assert math.isnan(model.relclip.metrics["alignment_accuracy"])


def test_one_image_with_one_object(on, scene):
    for context in BASES:
        logits, losses = run(on(context, "sgdet"), scene((1,)), training=False)
        assert logits.shape == (1, PREDICATE_CLASSES) and losses == {}


@pytest.mark.parametrize("num_objs", ((0, 2), (0, 0)), ids=str)
@pytest.mark.parametrize("context", BASES)
def test_training_is_finite_where_images_have_no_boxes(on, scene, context, num_objs):
    model = on(context, "sgcls")
    relations, losses = run(model, scene(num_objs))
    (relations.sum() + total(losses)).backward()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert torch.isfinite(tensor).all(), name
        assert tensor.grad is None or torch.isfinite(tensor.grad).all(), name


def test_a_background_label_of_the_base_adds_no_alignment(on, scene):
    """vtranse may call an object background; no phrase is about that."""
    model, batch = on("vtranse", "sgdet"), scene((2,))
    model.context_layer.pred_layer.bias.data[0] += 1000
    pairs, _ = pairs_of(model, batch)
    assert (
        not pairs.labels.any()
        and not alignment(model.relclip.embedding(pairs), model.relclip.targets(), pairs.labels, 8).any()
    )


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
    assert all(torch.isfinite(p.grad).all() for p in model.relclip.embedding.parameters())


def test_what_relclip_adds_to_a_checkpoint_has_its_name_and_no_phrase(predictor):
    state, base = predictor().state_dict(), predictor(predictor="MotifPredictor").state_dict()
    own = {name for name in state if name.startswith("relclip.")}
    assert {name.split(".")[1] for name in own} == {"embedding", "logit_scale"}
    assert state["relclip.logit_scale"].shape == () and set(state) - own == set(base)


def test_the_scale_stays_below_a_hundred(predictor):
    model = predictor(SCALE_INIT=99.0)
    assert model.relclip.tau().item() == pytest.approx(99)
    with torch.no_grad():
        model.relclip.logit_scale += 1
    assert model.relclip.tau().item() == pytest.approx(100)
    assert model.relclip.logit_scale.item() == pytest.approx(math.log(100))


def test_metrics_of_the_last_step(predictor, scene):
    model, batch = predictor(), scene((5, 5))
    run(model, batch)
    assert set(model.relclip.metrics) == {"tau", "alignment_accuracy"} and not any(
        x.requires_grad for x in model.relclip.metrics.values()
    )
    assert float(model.relclip.metrics["tau"]) == pytest.approx(1 / 0.07)
    pairs, _ = pairs_of(model, batch, training=True)
    guess = (
        alignment(model.relclip.embedding(pairs), model.relclip.targets(), pairs.labels, OBJECT_CLASSES)[:, 1:].argmax(
            dim=1
        )
        + 1
    )
    truth = torch.cat(batch.labels)
    assert float(model.relclip.metrics["alignment_accuracy"]) == pytest.approx(
        (guess == truth)[truth > 0].float().mean().item()
    )
    run(predictor(USE_ALIGNMENT=False), batch)


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


def test_a_predictor_without_known_layers_is_read_by_its_inputs(predictor, scene, monkeypatch):
    """One's own predictor: pairs by the last linear layer with one output per predicate, or by the union boxes."""

    class Plain(torch.nn.Module):
        def __init__(self, config, in_channels):
            super().__init__()
            self.classify = torch.nn.Sequential(torch.nn.Linear(in_channels, 9), torch.nn.Linear(9, PREDICATE_CLASSES))

        def forward(self, proposals, rel_pair_idxs, _labels, _binarys, roi_features, union_features, logger=None):
            objects = [torch.zeros(len(p), OBJECT_CLASSES) for p in proposals]
            return objects, self.classify(union_features).split([len(p) for p in rel_pair_idxs]), {}

    class Bare(Plain):
        def __init__(self, config, in_channels):
            super().__init__(config, in_channels)
            self.classify = torch.nn.Linear(in_channels, PREDICATE_CLASSES + 1)

        def forward(self, *args, **kwargs):
            objects, relations, losses = super().forward(*args, **kwargs)
            return objects, [x[:, 1:] for x in relations], losses

    batch = scene()
    for name, base, width in (("Plain", Plain, 9), ("Bare", Bare, DIM)):
        monkeypatch.setitem(ROI_RELATION_PREDICTOR, name, base)
        model = predictor(CONTEXT=name)
        assert model.reader.visual_dim == width and model.reader.end_dim == DIM
        assert torch.isfinite(total(run(model, batch)[1]))
    monkeypatch.setattr(Plain, "predicate_classifier", "classify.1", raising=False)
    assert predictor(CONTEXT="Plain").reader.layers["classifier"] == "classify.1"


class TestOtherPredicates:
    """Names given at test time are scored by their phrases alone."""

    NAMES = ("near", "chasing", "riding")

    def test_known_names_get_the_logits_that_they_have_anyway(self, predictor, scene):
        model = predictor(USE_BASE=False)
        expected, _ = run(model, scene(), training=False)
        model.relclip.set_predicates(self.NAMES)
        found, _ = run(model, scene(), training=False)
        assert found.shape[1] == 4
        torch.testing.assert_close(found[:, [0, 1, 3]], expected[:, [0, 5, 1]])
        model.relclip.set_predicates(None)
        assert torch.equal(run(model, scene(), training=False)[0], expected)

    def test_a_configuration_can_name_them(self, predictor, scene):
        model = predictor(USE_BASE=False, TEST_PREDICATES=self.NAMES)
        assert run(model, scene(), training=False)[0].shape[1] == 4
        assert run(model, scene())[0].shape[1] == PREDICATE_CLASSES  # training goes on with the data set's
        assert set(model.state_dict()) == set(predictor(USE_BASE=False).state_dict())

    @pytest.mark.parametrize("options", [{}, {"USE_BASE": False, "TARGETS": "learnt"}])
    def test_they_need_the_base_off_and_text(self, predictor, options):
        with pytest.raises(LanguageError, match=r"TEST_PREDICATES are scored by their phrases alone"):
            predictor(TEST_PREDICATES=("near",), **options)


def test_a_bank_from_a_file_needs_no_text_encoder(predictor, scene, bank, tmp_path, monkeypatch):
    expected, _ = run(predictor(), scene(), training=False)
    path = str(tmp_path / "bank.npz")
    bank.save(path)
    monkeypatch.setitem(__import__("sys").modules, "clip", None)
    model = predictor(language={"BANK_FILE": path, "NAME": "none"})
    torch.testing.assert_close(run(model, scene(), training=False)[0], expected)
    del bank.arrays["spo"]
    bank.save(path)
    with pytest.raises(LanguageError, match=r"no array 'triplet'"):
        predictor(language={"BANK_FILE": path}, LEVELS=("spo",))


def test_a_bank_of_another_world_is_refused(predictor, tmp_path):
    path = str(tmp_path / "b.npz")
    PhraseBank(["cat"], ["on"], {}, {"sp": np.ones((1, 1, 3)), "po": np.ones((1, 1, 3))}).save(path)
    with pytest.raises(LanguageError, match=r"lacks 7 of 7 names"):
        predictor(language={"BANK_FILE": path})


@pytest.mark.parametrize(
    "options, message",
    [
        ({"CONTEXT": "motif"}, "RELCLIP.CONTEXT is 'motif'; it can be motifs, vctree.*IMPPredictor"),
        ({"CONTEXT": "RelCLIPPredictor"}, "RELCLIP.CONTEXT is 'RelCLIPPredictor'"),
        ({"LEVELS": ("sp", "os")}, r"RELCLIP.LEVELS is \('sp', 'os'\); it can hold sp, po, spo"),
        ({"LEVELS": ("sp", "sp")}, "RELCLIP.LEVELS"),
        ({"LEVELS": ()}, "RELCLIP.LEVELS"),
        ({"NEGATIVES": "none"}, "RELCLIP.NEGATIVES is 'none'; it can be related, all, batch"),
        ({"DICTIONARY": "test"}, "RELCLIP.DICTIONARY is 'test'; it can be train, full"),
        ({"TARGETS": "random"}, "RELCLIP.TARGETS is 'random'; it can be text, learnt"),
        ({"SCALE_INIT": 0.0}, "RELCLIP.SCALE_INIT is 0.0"),
        ({"SYNONYM_SIMILARITY": 92.0}, "RELCLIP.SYNONYM_SIMILARITY is 92.0"),
        (
            {"SYNONYMS": "judge"},
            "RELCLIP.SYNONYMS is 'judge', and there is no such file; it can be judged, none, vg150 or a list's path",
        ),
        ({"USE_BASE": False, "USE_ALIGNMENT": False}, "nothing scores predicates"),
        ({"host": ["MODEL.ROI_BOX_HEAD.NUM_CLASSES", 9]}, "ROI_BOX_HEAD.NUM_CLASSES is 9.*8 object classes"),
        ({"host": [HEAD + "NUM_CLASSES", 51]}, "ROI_RELATION_HEAD.NUM_CLASSES is 51.*6 predicates"),
        ({"host": [HEAD + "CAUSAL.SEPARATE_SPATIAL", True]}, "SEPARATE_SPATIAL"),
    ],
)
def test_wrong_settings_get_one_sentence(predictor, options, message):
    with pytest.raises((LanguageError, InputError), match=message) as error:
        predictor(**options)
    assert error.value.user_input and "\n" not in str(error.value)


def test_without_vision_the_gate_stands_alone(on, scene):
    batch = scene()._replace(union_features=None)
    for context in ("motifs", "vctree", "transformer", "none"):
        logits, losses = run(on(context, host=[HEAD + "PREDICT_USE_VISION", False]), batch)
        assert torch.isfinite(logits).all() and torch.isfinite(total(losses))


def test_scored_by_phrases_alone_an_unseen_predicate_is_not_trained_away(predictor, scene, statistics):
    """The last predicate never occurs in training: there its logit takes no part, in evaluation it is scored."""
    batch = scene()
    model = predictor(USE_BASE=False)
    unseen = statistics()["fg_matrix"].sum(dim=(0, 1)) == 0
    assert unseen.tolist() == [True, False, False, False, False, True]  # the first is background, which always is
    logits, losses = run(model, batch, training=True)
    assert (logits[:, -1] < -9999).all() and (logits[:, :-1] > -999).all()
    probability = logits.softmax(dim=1)
    assert not probability[:, -1].any() and torch.isfinite(total(losses))
    with torch.no_grad():
        assert (run(model, batch, training=False)[0][:, -1] > -999).all()
    assert (run(predictor(host=NO_BIAS), batch, training=True)[0][:, -1] > -999).all()


def test_beside_a_base_its_phrases_learn_nothing_of_a_predicate_that_training_never_shows(predictor, scene):
    model = predictor()
    logits, _ = run(model, scene(), training=True)
    projections = list(model.relclip.embedding.parameters())
    for column, learns in ((-1, False), (-2, True)):
        gradients = torch.autograd.grad(logits[:, column].sum(), projections, retain_graph=True, allow_unused=True)
        assert any(gradient is not None and bool(gradient.any()) for gradient in gradients) == learns


def test_a_predicate_that_only_the_statistics_never_show_is_trained(predictor, scene, statistics):
    """They count relations of overlapping boxes; a batch may have others."""
    batch = scene()
    labels = [image.clone() for image in batch.labels]
    labels[0][0] = 5
    batch = batch._replace(labels=labels)
    logits, losses = run(predictor(USE_BASE=False), batch, training=True)
    assert (logits > -999).all()
    assert torch.nn.functional.cross_entropy(logits, torch.cat(labels)) < 20 and torch.isfinite(total(losses))
