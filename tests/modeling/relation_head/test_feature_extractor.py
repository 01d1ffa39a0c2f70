"""Features of pairs: rectangles of both boxes, pooling, and batches without pairs."""

import math

import pytest
import torch
from support import HEAD, boxlist, fill, parity_config

from maskrcnn_benchmark.modeling.roi_heads.relation_head.roi_relation_feature_extractors import (
    make_roi_relation_feature_extractor,
)
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_union
from maskrcnn_benchmark.utils.errors import InputError

CHANNELS = 16


def make_extractor(*options):
    return fill(make_roi_relation_feature_extractor(parity_config(extra=list(options)), CHANNELS)).eval()


def make_features(images, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(images, CHANNELS, 64 // stride, 96 // stride, generator=g) for stride in (4, 8, 16, 32)]


def make_boxes(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, generator=g) * torch.tensor([60.0, 30.0])
    return boxlist(torch.cat((corners, corners + 3 + 25 * torch.rand(n, 2, generator=g)), dim=1), (96, 64))


def all_pairs(n):
    return (~torch.eye(n, dtype=torch.bool)).nonzero()


def test_rectangles_cover_the_cells_that_a_box_touches():
    extractor, boxes = make_extractor(), make_boxes(5)
    size = extractor.rect_size
    grids = extractor._rectangles([boxes])
    assert grids.shape == (5, size, size) == (5, 27, 27)
    for grid, (x1, y1, x2, y2) in zip(grids, boxes.bbox.tolist(), strict=True):
        expected = torch.zeros(size, size)
        rows = slice(math.floor(y1 * size / 64), math.ceil(y2 * size / 64) + 1)
        columns = slice(math.floor(x1 * size / 96), math.ceil(x2 * size / 96) + 1)
        expected[rows, columns] = 1
        assert torch.equal(grid, expected)


@pytest.mark.parametrize("all_levels", (True, False))
def test_a_batch_equals_its_images(all_levels):
    extractor = make_extractor(HEAD + "POOLING_ALL_LEVELS", all_levels)
    features, boxes = make_features(3), [make_boxes(n, seed=n) for n in (3, 1, 2)]
    pairs = [all_pairs(len(b)) for b in boxes]
    with torch.no_grad():
        batch = extractor(features, boxes, pairs)
        images = [
            extractor([level[i : i + 1] for level in features], boxes[i : i + 1], pairs[i : i + 1]) for i in range(3)
        ]
    assert [len(image) for image in images] == [6, 0, 2]
    torch.testing.assert_close(batch, torch.cat(images), atol=1e-5, rtol=1e-4)


def test_subject_and_object_are_told_apart():
    with torch.no_grad():
        there, back = make_extractor()(make_features(1), [make_boxes(2)], [torch.tensor([[0, 1], [1, 0]])])
    assert not torch.allclose(there, back)


@pytest.mark.parametrize("training", (False, True), ids=("evaluation", "training"))
def test_what_pairs_share_is_what_each_has_alone(training):
    """Features and gradients equal those of pooling and convolving for each ordered pair by itself."""
    extractor = make_extractor().train(training)
    features, boxes = [level.requires_grad_() for level in make_features(3)], [make_boxes(n) for n in (4, 0, 3)]
    pairs = [all_pairs(4), all_pairs(0), torch.tensor([[0, 2], [1, 2], [0, 2], [1, 1]])]  # a double, itself
    weights = torch.randn(16, extractor.out_channels, generator=torch.Generator().manual_seed(0))

    def result(output):
        extractor.zero_grad()
        inputs = [*features, *extractor.parameters()]
        return [output.detach(), *torch.autograd.grad((output * weights).sum(), inputs)]

    subjects, objects = ([b[p[:, k]] for b, p in zip(boxes, pairs, strict=True)] for k in (0, 1))
    rectangles = torch.stack((extractor._rectangles(subjects), extractor._rectangles(objects)), dim=1)
    unions = [boxlist_union(s, o) for s, o in zip(subjects, objects, strict=True)]
    pooled = extractor.feature_extractor.pooler(features, unions) + extractor.rect_conv(rectangles)
    plain = result(extractor.feature_extractor.forward_without_pool(pooled))
    for ours, expected in zip(result(extractor(features, boxes, pairs)), plain, strict=True):
        torch.testing.assert_close(ours, expected, atol=2e-3, rtol=1e-3)


def test_separate_parts_have_the_width_of_the_whole():
    extractor = make_extractor(HEAD + "CAUSAL.SEPARATE_SPATIAL", True)
    parts = extractor(make_features(1), [make_boxes(3)], [all_pairs(3)])
    assert [part.shape for part in parts] == [(6, 48)] * 2
    none = extractor(make_features(1), [make_boxes(1)], [all_pairs(1)])
    assert [part.shape for part in none] == [(0, 48)] * 2


def test_an_unknown_extractor_is_named():
    with pytest.raises(InputError, match=r"FEATURE_EXTRACTOR is Pooling.*RelationFeatureExtractor"):
        make_extractor(HEAD + "FEATURE_EXTRACTOR", "Pooling")
