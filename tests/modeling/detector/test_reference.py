"""The detector and the whole pipeline against the reference numbers."""

import json

import numpy as np
import pytest
import torch
from support import HEAD, PARITY, TASKS, fill, parity_config, vg_dataset

from maskrcnn_benchmark.data.collate_batch import BatchCollator
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.modeling.detector import build_detection_model

REFERENCE = np.load(PARITY / "detector.npz")
MANIFESTS = json.loads((PARITY / "manifests.json").read_text())
LOOSE = {"atol": 2e-2, "rtol": 1e-3}  # boxes come through dozens of layers of noise weights


def batches(config, count=3, filter_empty_rels=True):
    dataset = vg_dataset("test", filter_empty_rels=filter_empty_rels, transforms=build_transforms(config, False))
    return [BatchCollator(32)([dataset[i]])[:2] for i in range(count)]


def assert_reference_triplets(out, key, atol):
    """The same pairs with the same scores and predicates as in the reference, the best first.

    Rounding of the convolutions, which differs from one processor to another, moves RPN boxes by 1e-4 pixels and, with
    noise as weights, triplet scores by as much. So of two triplets that are nearer than `atol` either may stand first;
    each is compared with that of its own pair.
    """
    pairs, scores = out.get_field("rel_pair_idxs"), out.get_field("pred_rel_scores")
    place = {pair: i for i, pair in enumerate(map(tuple, pairs.tolist()))}
    assert len(place) == len(pairs)
    assert place.keys() == set(map(tuple, REFERENCE[key + "rel_pair_idxs"].tolist()))
    triplet_scores = scores[:, 1:].max(dim=1).values * out.get_field("pred_scores")[pairs].prod(dim=1)
    assert (triplet_scores.diff() <= 1e-6).all()
    best = REFERENCE[key + "pred_rel_scores_top"]
    rows = [place[tuple(pair)] for pair in REFERENCE[key + "rel_pair_idxs"][: len(best)].tolist()]
    np.testing.assert_allclose(scores[rows], best, atol=atol)
    np.testing.assert_array_equal(
        out.get_field("pred_rel_labels")[rows], REFERENCE[key + "pred_rel_labels"][: len(best)]
    )
    in_its_order = triplet_scores[rows]
    assert (in_its_order.diff() <= atol).all()
    unnamed = triplet_scores[[i for i in place.values() if i not in rows]]
    assert (unnamed <= in_its_order.min() + atol).all()


@pytest.mark.parametrize("task", TASKS)
@torch.no_grad()
def test_whole_model_gives_the_reference_predictions(task, parity_statistics):
    config = parity_config(task, extra=["TEST.RELATION.FIRST_TRIPLETS", 0])
    model = fill(build_detection_model(config)).eval()
    for i, (images, targets) in enumerate(batches(config)):
        out = model(images, targets)[0]
        key = f"{task}/{i}/"
        np.testing.assert_allclose(out.bbox, REFERENCE[key + "boxes"], **LOOSE)
        np.testing.assert_array_equal(out.get_field("pred_labels"), REFERENCE[key + "pred_labels"])
        np.testing.assert_allclose(out.get_field("pred_scores"), REFERENCE[key + "pred_scores"], atol=1e-3)
        assert_reference_triplets(out, key, atol=1e-3)


@torch.no_grad()
def test_features_and_proposals_are_the_reference_ones(parity_statistics):
    config = parity_config()
    model = fill(build_detection_model(config)).eval()
    for i, (images, targets) in enumerate(batches(config)):
        key = f"image/{i}/"
        features = model.backbone(images.tensors)
        proposals, _ = model.rpn(images, features, targets)
        np.testing.assert_allclose(images.tensors.mean((2, 3)), REFERENCE[key + "tensor_mean"], atol=0.3)
        for level, feature in enumerate(features):
            reference = REFERENCE[f"{key}feat{level}_mean"]
            np.testing.assert_allclose(feature.mean((2, 3)), reference, atol=5e-2, rtol=5e-3)
        np.testing.assert_allclose(proposals[0].bbox, REFERENCE[key + "rpn_boxes"], **LOOSE)
        objectness = proposals[0].get_field("objectness")
        np.testing.assert_allclose(objectness, REFERENCE[key + "rpn_objectness"], atol=1e-3)


def detector_config():
    extra = ["MODEL.RELATION_ON", False, "MODEL.ROI_HEADS.SCORE_THRESH", 0.001]
    return parity_config(extra=extra + ["MODEL.ROI_HEADS.NMS_FILTER_DUPLICATES", False])


@torch.no_grad()
def test_detections_are_the_reference_ones_alone_and_in_a_batch():
    config = detector_config()
    model = fill(build_detection_model(config)).eval()
    samples = batches(config, filter_empty_rels=False)
    for i, (images, targets) in enumerate(samples):
        out = model(images, targets)[0]
        key = f"detect/{i}/"
        np.testing.assert_allclose(out.bbox, REFERENCE[key + "boxes"], **LOOSE)
        np.testing.assert_array_equal(out.get_field("pred_labels"), REFERENCE[key + "pred_labels"])
        np.testing.assert_allclose(out.get_field("pred_scores"), REFERENCE[key + "pred_scores"], atol=1e-3)


def test_losses_and_gradients_of_the_detector_are_the_reference_ones():
    reference = json.loads((PARITY / "training.json").read_text())
    everything = ["MODEL.RPN.BATCH_SIZE_PER_IMAGE", 100000, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 100000]
    everything += ["MODEL.RPN.PRE_NMS_TOP_N_TRAIN", 200, "MODEL.RPN.POST_NMS_TOP_N_TRAIN", 60]
    everything += ["MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN", 60, "MODEL.RPN.FPN_POST_NMS_PER_BATCH", False]
    config = detector_config()
    config.merge_from_list([*everything, "MODEL.ROI_HEADS.SCORE_THRESH", 0.01])
    dataset = vg_dataset("test", transforms=build_transforms(config, False))
    single = [i for i, r in enumerate(dataset.relationships) if len(np.unique(r[:, :2], axis=0)) == len(r)][:3]
    images, targets, _ = BatchCollator(32)([dataset[i] for i in single])
    model = fill(build_detection_model(config)).train()
    losses = model(images, targets)
    sum(losses.values()).backward()
    for name, value in losses.items():
        assert float(value.detach()) == pytest.approx(reference[f"detector/{name}"], rel=2e-3)
    parameters = dict(model.named_parameters())
    for name in ("rpn.head.conv.weight", "backbone.fpn.fpn_layer2.weight"):
        norm = float(parameters[name].grad.norm())
        assert norm == pytest.approx(reference[f"detector/gradient norm of {name}"], rel=2e-3)


PUBLISHED = {
    "model/X-101-FPN/detector": ["MODEL.RELATION_ON", False],
    "model/X-101-FPN/relation_motifs": [],
    "model/R-101-FPN/detector": ["MODEL.RELATION_ON", False, "MODEL.RESNETS.NUM_GROUPS", 1]
    + [
        "MODEL.RESNETS.WIDTH_PER_GROUP",
        64,
        "MODEL.RESNETS.BACKBONE_OUT_CHANNELS",
        512,
        "MODEL.RPN.RPN_MID_CHANNEL",
        512,
    ],
    "model/VGG-16/detector": ["MODEL.RELATION_ON", False, "MODEL.BACKBONE.CONV_BODY", "VGG-16"]
    + ["MODEL.RESNETS.BACKBONE_OUT_CHANNELS", 512, "MODEL.RPN.USE_FPN", False, "MODEL.RPN.ANCHOR_STRIDE", (16,)]
    + ["MODEL.RPN.RPN_MID_CHANNEL", 512, "MODEL.ROI_BOX_HEAD.POOLER_SCALES", (0.0625,)]
    + ["MODEL.ROI_BOX_HEAD.MLP_HEAD_DIM", 2048],
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_have_the_reference_parameters(name, parity_statistics, monkeypatch):
    for init in [n for n in dir(torch.nn.init) if n.endswith("_") and not n.startswith("_")]:
        monkeypatch.setattr(torch.nn.init, init, lambda tensor, *args, **kwargs: tensor)  # names and shapes only
    model = build_detection_model(parity_config(extra=PUBLISHED[name], small=False))
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == MANIFESTS[name]


def test_backbone_from_scratch_takes_group_norm_and_narrow_layers():
    extra = ["MODEL.RELATION_ON", False, "MODEL.RESNETS.TRANS_FUNC", "BottleneckWithGN"]
    extra += ["MODEL.GROUP_NORM.NUM_GROUPS", 4]
    extra += ["MODEL.RESNETS.STEM_FUNC", "StemWithGN", "MODEL.BACKBONE.FREEZE_CONV_BODY_AT", 0]
    model = build_detection_model(parity_config(extra=extra + [HEAD + "USE_GT_BOX", False]))
    assert all(p.requires_grad for p in model.backbone.parameters())
    (images, targets), *_ = batches(parity_config(), 1)
    losses = model.train()(images, targets)
    sum(losses.values()).backward()
    assert torch.isfinite(torch.stack(list(losses.values()))).all()
