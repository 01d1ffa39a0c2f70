"""PE-Net, SQUAT, BGNN and GPS-Net against the numbers of the originals, batches against images, few pairs, settings."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from newer_predictors import (
    CLASSES,
    MANIFESTS,
    RECORDED,
    make_newer_predictor,
    narrow_penet,
    newer_config,
    published_config,
    recorded_inputs,
    recorded_values,
    with_detections,
)
from support import HEAD
from torch.nn import functional as F

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.relation_head import model_penet
from maskrcnn_benchmark.modeling.roi_heads.relation_head.loss import make_roi_relation_loss_evaluator
from maskrcnn_benchmark.utils.errors import InputError

MODELS = sorted({case.rsplit("/", 1)[0] for case in RECORDED["cases"]})  # of a task
BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
RUNNING = ("running_mean", "running_var", "num_batches_tracked", "min_relness", "max_relness")


@pytest.fixture(autouse=True)
def no_initial_values(parity_statistics, monkeypatch):
    """All weights are overwritten, so the costly draws are left out."""
    for name in ("kaiming_uniform_", "xavier_uniform_", "xavier_normal_", "uniform_", "normal_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.fixture(params=CLASSES)
def name(request, monkeypatch):
    """Short name of a predictor; PE-Net is made narrow."""
    narrow_penet(monkeypatch)
    return request.param


def training_values(model, inputs, with_objects: bool) -> dict[str, np.ndarray]:
    """What a training step gives and changes, by the names of the reference numbers."""
    obj, rel, losses = model.train()(*inputs)[:3]
    values = {"obj": torch.cat(obj), "rel": torch.cat(rel)}
    losses = {**losses, "loss_rel": F.cross_entropy(values["rel"], torch.cat(inputs[2]), ignore_index=-1)}
    if with_objects:
        labels = torch.cat([p.get_field("labels") for p in inputs[0]])
        losses["loss_refine_obj"] = F.cross_entropy(values["obj"], labels)
    sum(losses.values()).backward()
    norms = {k: torch.zeros(()) if p.grad is None else p.grad.double().norm() for k, p in model.named_parameters()}
    values |= {f"loss/{k}": v for k, v in losses.items()} | {f"gradient norm/{k}": v for k, v in norms.items()}
    values |= {f"after/{k}": v for k, v in model.state_dict().items() if k.endswith(RUNNING)}
    values["parameters without gradient"] = torch.tensor(float(sum(v == 0 for v in norms.values())))
    return {k: v.detach().numpy() for k, v in values.items()}


@pytest.mark.parametrize("recorded", MODELS)
def test_numbers_are_those_of_the_original(recorded):
    name, task = recorded.split("/")
    model = make_newer_predictor(name, task)
    state = {k: v.clone() for k, v in model.state_dict().items() if k.endswith(RUNNING)}
    for key in [case for case in RECORDED["cases"] if case.startswith(recorded + "/")]:
        inputs = recorded_inputs(key.rsplit("/", 1)[1], task)
        model.load_state_dict(state, strict=False)
        model.zero_grad()
        if name == "bgnn_pretrain":
            model.start_preclser_relpn_pretrain()
        if "/eval" in key:
            with torch.no_grad():
                obj, rel = model.eval()(*inputs[:2], None, None, *inputs[4:])[:2]
            values = {"obj": torch.cat(obj).numpy(), "rel": torch.cat(rel).numpy()}
        else:
            values = training_values(model, inputs, with_objects=name == "penet" or name.endswith("recls"))
        for what, expected in recorded_values(key).items():
            rtol = 2e-3 if "gradient norm" in what else 5e-4 if what.startswith("loss/") else 1e-4
            np.testing.assert_allclose(values[what], expected, atol=5e-5, rtol=rtol, err_msg=f"{key}/{what}")


@pytest.mark.parametrize("published", CLASSES)
def test_names_and_shapes_are_those_of_published_checkpoints(published, task):
    with torch.device("meta"):  # shapes without values
        model = registry.ROI_RELATION_PREDICTOR[CLASSES[published]](published_config(published, task), 4096)
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == MANIFESTS["predictors"][published]
    fixed = sorted(k for k, p in model.named_parameters() if not p.requires_grad)
    assert fixed == sorted(MANIFESTS["not_trained"][published])


@pytest.mark.parametrize("num_objs", ((4, 1, 6, 2), (1, 1)), ids=str)
def test_a_batch_equals_its_images(name, task, scene, num_objs):
    model, batch = make_newer_predictor(name, task), with_detections(scene(num_objs))
    with torch.no_grad():
        obj, rel = model(*batch.arguments(training=False))[:2]
        for i in range(len(num_objs)):
            obj_i, rel_i = model(*batch.image(i).arguments(training=False))[:2]
            torch.testing.assert_close(obj[i], obj_i[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(rel[i], rel_i[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("option", ("minmax", "learnable_scaling"))
def test_an_image_in_which_no_pair_sends_messages_stays_as_it_is_in_any_company(scene, option):
    key = HEAD + "BGNN_MODULE.RELNESS_MP_WEIGHTING_SCORE_RECALIBRATION_METHOD"
    model, batch = make_newer_predictor("bgnn", "sgdet", key, option), with_detections(scene((5, 5)))
    silent = torch.cat((torch.zeros(20), torch.ones(20)))
    model.context_layer.recalibrate = lambda confidences, num_rels: silent[: len(confidences)]
    with torch.no_grad():
        together = model(*batch.arguments(training=False))[1][0]
        alone = model(*batch.image(0).arguments(training=False))[1][0]
        model.start_preclser_relpn_pretrain()
        without_messages = model(*batch.image(0).arguments(training=False))[1][0]
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(alone, without_messages)


@pytest.mark.parametrize("autocast", (False, True), ids=("float32", "bfloat16"))
@pytest.mark.parametrize("num_objs", ((3, 1), (1,), (2,)), ids=str)
def test_training_is_finite_where_pairs_are_few_or_none(name, task, scene, num_objs, autocast):
    model, batch = make_newer_predictor(name, task).train(), with_detections(scene(num_objs))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        obj, rel, losses = model(*batch.arguments(training=True))[:3]
        loss = sum(make_roi_relation_loss_evaluator(newer_config(name, task))(batch.proposals, batch.labels, rel, obj))
    (loss + sum(losses.values())).backward()
    assert [x.shape for x in obj] == [(n, 151) for n in num_objs]
    assert [x.shape for x in rel] == [(n * (n - 1), 51) for n in num_objs]
    for key, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert torch.isfinite(tensor).all(), key
        assert tensor.grad is None or torch.isfinite(tensor.grad).all(), key


def test_ignored_pairs_have_no_part_in_the_predictors_own_losses(name, scene):
    batch = with_detections(scene((4, 3)))
    losses = [
        make_newer_predictor(name, "sgcls").train()(*batch._replace(labels=labels).arguments(training=True))[2]
        for labels in (batch.labels, [torch.full_like(x, -1) for x in batch.labels])
    ]
    assert losses[0].keys() == losses[1].keys()
    for key in ("loss_dis", *(f"pre_rel_classify_loss_iter-{i}" for i in range(3))):
        if key in losses[0]:
            assert losses[0][key] > 0 and losses[1][key] == 0


@pytest.mark.parametrize(
    "name, options, message",
    (
        ("penet", ("PREDICT_USE_VISION", False), "PREDICT_USE_VISION is False, .*set it to True"),
        ("penet", ("CONTEXT_POOLING_DIM", 40), "CONTEXT_POOLING_DIM is 40, .*set it to 48"),
        ("gpsnet", ("PREDICT_USE_VISION", False), "PREDICT_USE_VISION to True"),
        ("gpsnet", ("GPSNET_MODULE.RELNESS_MP_WEIGHTING", True), "GPSNET_MODULE.RELNESS_MP_WEIGHTING"),
        ("squat", ("SQUAT_MODULE.PRE_NORM", True), "SquatPredictor does not support; set it to False"),
        ("squat", ("RELATION_PROPOSAL_MODEL.METHOD", "rel_pn"), "METHOD is rel_pn"),
        ("squat", ("CLASSIFIER", "cosine"), "set it to linear"),
        ("bgnn", ("BGNN_MODULE.MP_ON_VALID_PAIRS", False), "MP_ON_VALID_PAIRS is False"),
        ("bgnn", ("EDGE_FEATURES_REPRESENTATION", "pair"), "union or obj_pair or fusion"),
    ),
)
def test_settings_that_cannot_work_are_rejected_by_name(name, options, message):
    with pytest.raises(InputError, match=message):
        make_newer_predictor(name, "sgcls", *[HEAD + options[0], options[1]])


@pytest.mark.parametrize("key", ("FREQUENCY_BAIS", "PREDICT_USE_BIAS"))
@pytest.mark.parametrize("name", ("squat", "bgnn", "gpsnet"))
def test_either_key_switches_the_frequency_bias_off(name, scene, key):
    with_bias, without = make_newer_predictor(name, "sgcls"), make_newer_predictor(name, "sgcls", HEAD + key, False)
    batch = with_detections(scene((3,)))
    with torch.no_grad():
        with_bias.freq_bias.obj_baseline.weight.zero_()
        first, second = (m(*batch.arguments(training=False))[1][0] for m in (with_bias, without))
    torch.testing.assert_close(first, second)
    assert not any("freq" in key for key in without.state_dict())


def test_squat_works_without_union_features(scene):
    """Its features of pairs are those of both objects."""
    model, batch = (
        make_newer_predictor("squat", "sgcls", HEAD + "PREDICT_USE_VISION", False),
        with_detections(scene((4,))),
    )
    with torch.no_grad():
        expected = make_newer_predictor("squat", "sgcls")(*batch.arguments(training=False))[1][0]
        found = model(*batch._replace(union_features=None).arguments(training=False))[1][0]
    torch.testing.assert_close(found, expected)


def test_only_masks_learn_in_the_first_iterations_of_squat(scene):
    model = make_newer_predictor("squat", "sgcls", HEAD + "SQUAT_MODULE.PRETRAIN_MASK_ITER", 3).train()
    batch = with_detections(scene((4, 3)))
    for iteration, only_masks in ((1, True), (3, True), (4, False)):
        model.zero_grad()
        model.start_iteration(iteration)
        _, rel, losses = model(*batch.arguments(training=True))
        (torch.cat(rel).sum() + sum(losses.values())).backward()
        learns = {key for key, p in model.named_parameters() if p.grad is not None}
        assert any("mask_predictor" in key for key in learns)
        assert all("mask_predictor" in key for key in learns) == only_masks


def test_messages_begin_after_the_first_iterations_of_bgnn(scene):
    options = (HEAD + "RELATION_PROPOSAL_MODEL.PRETRAIN_RELNESS_MODULE", True)
    model = make_newer_predictor(
        "bgnn", "sgcls", *options, HEAD + "RELATION_PROPOSAL_MODEL.PRETRAIN_ITER_RELNESS_MODULE", 3
    )
    batch, messages = with_detections(scene((4, 3))), {}
    for iteration in (1, 3, 4):
        model.start_iteration(iteration)
        model.train().zero_grad()
        sum(rel.sum() for rel in model(*batch.arguments(training=True))[1]).backward()
        messages[iteration] = model.context_layer.pred_msg_fusion[0].wih.weight.grad is not None
    assert messages == {1: False, 3: False, 4: True}


def test_penet_losses_are_those_of_all_differences():
    generator = torch.Generator().manual_seed(0)
    for predicates in (51, 7):
        pairs = torch.randn(20, 16, generator=generator)
        prototypes = torch.randn(predicates, 16, generator=generator)
        labels = torch.randint(0, predicates, (20,), generator=generator)
        found = model_penet.PrototypeLoss()(pairs, prototypes, labels)
        distances = (pairs[:, None] - prototypes).norm(dim=2) ** 2
        others = distances.clone()
        others[range(20), labels] = 0
        number = min(10, predicates - 1)
        nearest = others.sort(dim=1).values[:, : number + 1].sum(dim=1) / number
        expected = (distances[range(20), labels] - nearest + 1).clamp(min=0).mean()
        torch.testing.assert_close(found["loss_dis"], expected)
        among = (prototypes[:, None] - prototypes).norm(dim=2) ** 2
        expected = (7 - among.sort(dim=1).values[:, 1]).clamp(min=0).mean()
        torch.testing.assert_close(found["dist_loss2"], expected)
        cosines = F.normalize(prototypes, dim=1) @ F.normalize(prototypes, dim=1).T
        torch.testing.assert_close(found["l21_loss"], cosines.norm(dim=1).sum() / predicates**2)


def test_the_originals_algorithms_which_the_benchmark_times_give_the_same(name):
    spec = importlib.util.spec_from_file_location("plain_predictors", BENCHMARKS / "plain_predictors.py")
    plain = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plain)
    inputs = recorded_inputs("train_a", "sgdet")
    own = make_newer_predictor(name, "sgdet").train()(*inputs)
    original = plain.as_original(CLASSES[name], make_newer_predictor(name, "sgdet").train())(*inputs)
    torch.testing.assert_close(original[1], own[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(original[2], own[2], atol=1e-5, rtol=1e-4)
