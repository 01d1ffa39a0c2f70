"""Predictors against the reference numbers, batches against their images, images without pairs, half precision."""

import json

import numpy as np
import pytest
import torch
from support import HEAD, PARITY, boxlist, parity_config

from maskrcnn_benchmark.modeling import registry
from maskrcnn_benchmark.modeling.roi_heads.relation_head.loss import make_roi_relation_loss_evaluator
from maskrcnn_benchmark.modeling.roi_heads.relation_head.model_motifs import FrequencyBias
from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_predictors import make_roi_relation_predictor
from maskrcnn_benchmark.utils.errors import InputError

REFERENCE = np.load(PARITY / "predictors.npz")
FIELDS = ("labels", "predict_logits", "boxes_per_cls")


def reference_inputs(key: str):
    """Arguments of a predictor as they were when the reference numbers were recorded."""
    num_objs, num_rels = REFERENCE[key + "num_objs"], REFERENCE[key + "num_rels"]

    def split(name, numbers):
        return [torch.from_numpy(part) for part in np.split(REFERENCE[key + name], np.cumsum(numbers)[:-1])]

    fields = {name: split(name, num_objs) for name in FIELDS}
    proposals = [
        boxlist(boxes, size, **{name: values[i] for name, values in fields.items()})
        for i, (boxes, size) in enumerate(zip(split("boxes", num_objs), REFERENCE[key + "size"], strict=True))
    ]
    binarys = [torch.from_numpy(REFERENCE[f"{key}binary{i}"]) for i in range(len(num_objs))]
    features = [torch.from_numpy(REFERENCE[key + name]) for name in ("roi_features", "union_features")]
    return proposals, split("pairs", num_rels), split("rel_labels", num_rels), binarys, *features


def assert_reference(key: str, value):
    np.testing.assert_allclose(value.detach().numpy(), REFERENCE[key], atol=2e-4, rtol=2e-4, err_msg=key)


@pytest.mark.parametrize("image", ("eval0", "eval1"))
def test_evaluation_gives_the_reference_logits(predictor, predictor_name, task, image):
    key = f"{predictor_name}/{task}/{image}/"
    if key + "rel" not in REFERENCE:
        pytest.skip("not recorded")
    proposals, pairs, _, _, roi_features, union_features = reference_inputs(f"in/{image}/")
    with torch.no_grad():
        obj, rel, _ = predictor(predictor_name, task)(proposals, pairs, None, None, roi_features, union_features)
    assert_reference(key + "obj", torch.cat(obj))
    assert_reference(key + "rel", torch.cat(rel))


def test_training_gives_the_reference_logits_and_losses(predictor, predictor_name, task):
    key = f"{predictor_name}/{task}/train0/"
    if key + "rel" not in REFERENCE:
        pytest.skip("not recorded, as the original draws random numbers there")
    inputs = reference_inputs("in/train0/")
    obj, rel, losses = predictor(predictor_name, task).train()(*inputs)
    assert_reference(key + "obj", torch.cat(obj))
    assert_reference(key + "rel", torch.cat(rel))
    for name, value in losses.items():
        assert_reference(f"{key}add/{name}", value)
    assert {k for k in REFERENCE if k.startswith(key + "add/")} == {f"{key}add/{name}" for name in losses}
    for smoothing in (False, True):
        config = parity_config(extra=[HEAD + "LABEL_SMOOTHING_LOSS", smoothing])
        loss_rel, loss_obj = make_roi_relation_loss_evaluator(config)(inputs[0], inputs[2], rel, obj)
        assert_reference(f"{key}loss_rel_ls{int(smoothing)}", loss_rel)
        assert_reference(f"{key}loss_obj_ls{int(smoothing)}", loss_obj)


def test_a_batch_equals_its_images(predictor, scene, predictor_name, task):
    model, batch = predictor(predictor_name, task), scene((4, 1, 6, 2))
    with torch.no_grad():
        obj, rel, _ = model(*batch.arguments(training=False))
        for i in range(4):
            obj_i, rel_i, _ = model(*batch.image(i).arguments(training=False))
            torch.testing.assert_close(obj[i], obj_i[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(rel[i], rel_i[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("autocast", (False, True), ids=("float32", "bfloat16"))
@pytest.mark.parametrize("num_objs", ((3, 1), (1,), (2,), (0, 2), (0, 0)), ids=str)
def test_training_is_finite_where_pairs_are_few_or_none(predictor, scene, predictor_name, task, num_objs, autocast):
    model, batch = predictor(predictor_name, task).train(), scene(num_objs)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        obj, rel, losses = model(*batch.arguments(training=True))
        loss = sum(make_roi_relation_loss_evaluator(parity_config())(batch.proposals, batch.labels, rel, obj))
    (loss + sum(losses.values())).backward()
    assert [x.shape for x in obj] == [(n, 151) for n in num_objs]
    assert [x.shape for x in rel] == [(n * (n - 1), 51) for n in num_objs]
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        assert torch.isfinite(tensor).all(), name
        assert tensor.grad is None or torch.isfinite(tensor.grad).all(), name


def test_evaluation_under_autocast_is_finite(predictor, scene, predictor_name, task):
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        obj, rel, _ = predictor(predictor_name, task)(*scene((3, 1)).arguments(training=False))
    assert all(torch.isfinite(x).all() for x in (*obj, *rel))


def test_names_and_shapes_are_those_of_published_checkpoints(parity_statistics, predictor_name, predictor_class):
    manifests = json.loads((PARITY / "manifests.json").read_text())
    key = f"predictor/{predictor_name}"
    if key not in manifests:
        pytest.skip("not recorded: an effect changes no name")
    name, options = predictor_class
    hidden_dim = 1024 if "vctree" in predictor_name else 512
    options = [*options, HEAD + "CONTEXT_POOLING_DIM", 4096, HEAD + "CONTEXT_HIDDEN_DIM", hidden_dim]
    with torch.device("meta"):  # shapes without values
        model = registry.ROI_RELATION_PREDICTOR[name](parity_config("predcls", name, options, small=False), 4096)
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == manifests[key]


@pytest.mark.parametrize(
    "options, message",
    (
        ([HEAD + "PREDICTOR", "MotifsPredictor"], "MotifPredictor"),
        ([HEAD + "NUM_CLASSES", 21], "51 predicates"),
        (["MODEL.ROI_BOX_HEAD.NUM_CLASSES", 81], "151 object classes"),
        ([HEAD + "CAUSAL.SEPARATE_SPATIAL", True], "SEPARATE_SPATIAL"),
        ([HEAD + "PREDICTOR", "IMPPredictor", HEAD + "PREDICT_USE_VISION", False], "PREDICT_USE_VISION"),
        ([HEAD + "PREDICTOR", "CausalAnalysisPredictor"], "MLP_HEAD_DIM"),
        (
            [HEAD + "PREDICTOR", "CausalAnalysisPredictor", HEAD + "CAUSAL.FUSION_TYPE", "product"],
            "sum, gate",
        ),
        (
            [
                *(HEAD + "PREDICTOR", "CausalAnalysisPredictor", HEAD + "CONTEXT_POOLING_DIM", 48),
                *(HEAD + "CAUSAL.EFFECT_TYPE", "TDE", HEAD + "CAUSAL.EFFECT_ANALYSIS", False),
            ],
            "EFFECT_ANALYSIS",
        ),
    ),
)
def test_options_that_cannot_work_are_named(parity_statistics, options, message):
    with pytest.raises(InputError, match=message):
        make_roi_relation_predictor(parity_config(extra=options), 48)


@pytest.mark.parametrize("name", ("MotifPredictor", "TransformerPredictor", "VCTreePredictor"))
def test_prediction_without_vision(parity_statistics, scene, name):
    config = parity_config("predcls", name, [HEAD + "PREDICT_USE_VISION", False])
    batch = scene((3, 2))
    _, rel, _ = make_roi_relation_predictor(config, 48).eval()(*batch._replace(union_features=None).arguments(False))
    assert [x.shape for x in rel] == [(6, 51), (2, 51)]


def test_frequency_bias_of_certain_labels_is_that_of_their_probabilities(parity_statistics):
    bias = FrequencyBias(parity_config(), parity_statistics)
    labels, pairs = torch.tensor([5, 140, 7]), torch.tensor([[0, 1], [2, 0], [1, 1]])
    expected = parity_statistics["pred_dist"].float()[labels[pairs[:, 0]], labels[pairs[:, 1]]]
    torch.testing.assert_close(bias(labels[pairs]), expected)
    certain = torch.nn.functional.one_hot(labels, 151).float()
    torch.testing.assert_close(bias.index_with_object_probability(certain, pairs), expected)


def test_frequency_bias_from_objects_is_that_from_pairs(parity_statistics):
    bias = FrequencyBias(parity_config(), parity_statistics)
    probabilities = torch.randn(4, 151, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    pairs = (~torch.eye(4, dtype=torch.bool)).nonzero()
    of_pairs = torch.stack((probabilities[pairs[:, 0]], probabilities[pairs[:, 1]]), dim=2)
    torch.testing.assert_close(
        bias.index_with_object_probability(probabilities, pairs), bias.index_with_probability(of_pairs)
    )
