"""Matching, sampling, coding, pooling and post-processing against plain versions, and with nothing in the image."""

import pytest
import torch
from support import boxlist, parity_config

from maskrcnn_benchmark.layers import nms
from maskrcnn_benchmark.modeling import poolers, registry
from maskrcnn_benchmark.modeling.balanced_positive_negative_sampler import BalancedPositiveNegativeSampler
from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.matcher import Matcher
from maskrcnn_benchmark.modeling.poolers import Pooler
from maskrcnn_benchmark.modeling.roi_heads.box_head.inference import PostProcessor
from maskrcnn_benchmark.modeling.roi_heads.box_head.sampling import make_roi_box_samp_processor
from maskrcnn_benchmark.modeling.rpn.loss import make_rpn_loss_evaluator
from maskrcnn_benchmark.utils.errors import InputError


def random_boxes(n, size=200.0):
    corners = torch.rand(n, 2) * size * 0.7
    return torch.cat((corners, corners + 5 + torch.rand(n, 2) * size * 0.25), dim=1)


def test_matcher_equals_a_plain_loop():
    torch.manual_seed(0)
    quality = torch.rand(5, 40).round(decimals=1)  # with ties
    matched = Matcher(0.7, 0.3, allow_low_quality_matches=True)(quality)
    for prediction in range(40):
        best = int(quality[:, prediction].argmax())
        value = quality[best, prediction]
        expected = best if value >= 0.7 else -2 if value >= 0.3 else -1
        if any(quality[g, prediction] == quality[g].max() for g in range(5)):
            expected = best
        assert matched[prediction] == expected


def test_matcher_without_ground_truth_finds_background():
    assert Matcher(0.5, 0.3)(torch.zeros(0, 3)).tolist() == [-1, -1, -1]
    assert Matcher(0.5, 0.3, True)(torch.zeros(2, 0)).tolist() == []


def test_sampler_draws_the_asked_number_of_each():
    labels = torch.cat((torch.ones(30), torch.zeros(100), -torch.ones(20)))
    (positive,), (negative,) = BalancedPositiveNegativeSampler(64, 0.25)([labels])
    assert positive.sum() == 16 and negative.sum() == 48
    assert (labels[positive] == 1).all() and (labels[negative] == 0).all()


def test_decoding_undoes_encoding():
    torch.manual_seed(0)
    references, proposals = random_boxes(20), random_boxes(20)
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    decoded = coder.decode(coder.encode(references, proposals), proposals)
    torch.testing.assert_close(decoded, references, atol=1e-3, rtol=1e-4)


def plain_post_processing(boxes, scores, threshold, nms_threshold, top, duplicates, limit):
    """Class by class, as SGB does it; pairs of (proposal, class)."""
    found = []
    for label in range(1, scores.shape[1]):
        index = (scores[:, label] > threshold).nonzero().squeeze(1)
        keep = nms(boxes[index, label], scores[index, label], nms_threshold)[:top]
        found += [(int(i), label) for i in index[keep]]
    if duplicates:
        best = {}
        for i, label in found:
            if i not in best or scores[i, label] > scores[i, best[i]]:
                best[i] = label
        found = sorted(best.items())
    if len(found) > limit:
        lowest = sorted((float(scores[f]) for f in found), reverse=True)[limit - 1]
        found = [f for f in found if scores[f] >= lowest]
    return found


@pytest.mark.parametrize("duplicates", [False, True])
@pytest.mark.parametrize("limit", [15, 1000])
def test_post_processing_equals_a_loop_over_classes(duplicates, limit):
    torch.manual_seed(2)
    boxes = random_boxes(60)[:, None] + torch.randn(60, 7, 4) * 2
    scores = torch.randn(60, 7).mul(2).softmax(1)
    coder = BoxCoder((10.0, 10.0, 5.0, 5.0))
    proposals = boxlist(random_boxes(60), (200, 200))
    codes = coder.encode(boxes.reshape(-1, 4), proposals.bbox.repeat_interleave(7, 0)).view(60, 28)
    processor = PostProcessor(0.05, 0.3, 9, duplicates, limit, coder)
    index, (detections,) = processor((torch.arange(60), scores.log(), codes), [proposals])
    label = detections.get_field("pred_labels")
    expected = plain_post_processing(boxes, scores, 0.05, 0.3, 9, duplicates, limit)
    assert list(zip(index.tolist(), label.tolist(), strict=True)) == expected


def test_post_processing_of_no_proposals_finds_nothing():
    processor = PostProcessor(0.05, 0.3, 9, True, 10)
    empty = boxlist(torch.zeros(0, 4), (50, 40), labels=torch.zeros(0).long(), attributes=torch.zeros(0, 3).long())
    empty.add_field("predict_logits", torch.zeros(0, 5))
    features, (result,) = processor(
        (torch.zeros(0, 8), torch.zeros(0, 5), torch.zeros(0, 20)), [empty], relation_mode=True
    )
    assert len(result) == 0 and features.shape == (0, 8)
    assert result.get_field("boxes_per_cls").shape == (0, 5, 4)


def test_proposals_of_an_image_without_objects_are_background():
    config = parity_config()
    target = boxlist(torch.zeros(0, 4), (200, 200), labels=torch.zeros(0).long(), attributes=torch.zeros(0, 10).long())
    proposals = [boxlist(random_boxes(6), (200, 200))]
    (drawn,) = make_roi_box_samp_processor(config).subsample(proposals, [target])
    assert (drawn.get_field("labels") == 0).all() and len(drawn) == 6


def test_rpn_loss_of_an_image_without_objects_is_finite():
    config = parity_config()
    evaluator = make_rpn_loss_evaluator(config, BoxCoder((1.0,) * 4))
    anchors = boxlist(random_boxes(4), (200, 200), visibility=torch.ones(4).bool())
    target = boxlist(torch.zeros(0, 4), (200, 200))
    losses = evaluator([[anchors]], [torch.zeros(1, 1, 2, 2)], [torch.zeros(1, 4, 2, 2)], [target])
    assert torch.isfinite(torch.stack(losses)).all() and losses[1] == 0


def test_pooling_a_batch_equals_its_images():
    torch.manual_seed(0)
    features = [torch.randn(2, 4, 64, 64), torch.randn(2, 4, 32, 32)]
    boxes = [boxlist(random_boxes(5), (256, 256)), boxlist(random_boxes(3) * 1.3, (256, 256))]
    for cat_all_levels in (False, True):
        pooler = Pooler((3, 3), (0.25, 0.125), 2, in_channels=4, cat_all_levels=cat_all_levels)
        together = pooler(features, boxes)
        alone = [pooler([f[i : i + 1] for f in features], [boxes[i]]) for i in range(2)]
        torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("counts", ((5, 0, 3), (0, 0, 0)), ids=str)
def test_pooling_from_every_level_equals_pooling_from_each_boxs_own(monkeypatch, counts):
    torch.manual_seed(0)
    boxes = [boxlist(random_boxes(n, 1000.0), (1000, 1000)) for n in counts]
    pooler, found = Pooler((3, 3), (0.25, 0.125), 2), []
    assert len(pooler.map_levels(boxes).unique()) == (2 if sum(counts) else 0)
    for limit in (-1, 8):
        torch.manual_seed(0)
        features = [torch.randn(3, 4, side, side, requires_grad=True) for side in (250, 125)]
        monkeypatch.setattr(poolers, "EVERY_LEVEL", {"cpu": limit})
        pooled = pooler(features, boxes)
        (pooled * torch.randn(pooled.shape)).sum().backward()
        found.append([pooled, *(level.grad for level in features)])
    for own, every in zip(*found, strict=True):
        assert torch.equal(own, every)


def test_unknown_name_lists_those_that_exist():
    with pytest.raises(InputError, match=r"SOME\.KEY is FPNPredictr.*FastRCNNPredictor.*did you mean FPNPredictor"):
        registry.lookup(registry.ROI_BOX_PREDICTOR, "FPNPredictr", "SOME.KEY")
