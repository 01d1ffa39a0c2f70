"""CLIP's image tower on pairs: what it sees, and what becomes of the logits, against one pair at a time."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from support import HEAD, boxlist, fill, parity_config
from torch.nn import functional

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.data.build import use_statistics
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.language.crops import CropRule
from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.image_encoder import IMAGE_MEAN, IMAGE_STD, ImageEncoder
from maskrcnn_benchmark.modeling.roi_heads.relation_head.inference import PostProcessor
from maskrcnn_benchmark.modeling.roi_heads.relation_head.pair_crops import PairCrops
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import ROIRelationHead
from maskrcnn_benchmark.modeling.roi_heads.relation_head.second_opinion import make_second_opinion
from maskrcnn_benchmark.utils.errors import InputError

CPU = torch.device("cpu")
SIZE = 32  # pixels a side of what the tower takes
KEY = HEAD + "SECOND_OPINION."
ON = [KEY + "WEIGHT", 0.7, KEY + "FIT", "stretch", KEY + "MARGIN", 0.0]


class Flat(torch.nn.Module):
    """A tower that hands on what it sees."""

    def forward(self, pixels):
        return pixels.flatten(1)


def as_the_host_does(picture):
    """An RGB picture as the detector takes it, [3, H, W]: BGR, normalised, padded to the right and below."""
    image = torch.zeros(3, picture.height + 5, picture.width + 7)
    pixels = torch.from_numpy(np.asarray(picture).copy()).float().permute(2, 0, 1).flip(0)
    image[:, : picture.height, : picture.width] = pixels - torch.tensor(cfg.INPUT.PIXEL_MEAN)[:, None, None]
    return image


def smooth_picture(width, height, seed):
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def opinion(config, statistics, *options):
    """The second opinion of the small world."""
    with use_statistics(statistics()):
        return make_second_opinion(config(host=[*ON, *options]))


def test_colours_are_the_pictures_own():
    encoder = ImageEncoder(Flat(), SIZE, IMAGE_MEAN, IMAGE_STD, 1.0, CPU)
    for bgr, std in ((True, (57.0, 57.0, 57.0)), (False, (0.2, 0.3, 0.4))):
        node = cfg.INPUT.clone()
        node.TO_BGR255, node.PIXEL_STD = bgr, std
        if not bgr:
            node.PIXEL_MEAN = (0.5, 0.4, 0.3)
        rgb = torch.tensor([0.8, 0.4, 0.1])
        mean, deviation = torch.tensor(node.PIXEL_MEAN), torch.tensor(std)
        pixels = ((rgb.flip(0) * 255 if bgr else rgb) - mean) / deviation
        image = pixels.view(3, 1, 1).expand(3, 20, 30)
        look = PairCrops(encoder, node, CropRule(0.1, "stretch"))
        found = look.embed(image, (30, 20), torch.ones(1, 4) * 9)
        expected = ((rgb - torch.tensor(IMAGE_MEAN)) / torch.tensor(IMAGE_STD))[:, None].expand(3, SIZE * SIZE)
        torch.testing.assert_close(found[0], functional.normalize(expected.flatten(), dim=0))


def test_it_multiplies_the_models_distribution_with_clips(config, statistics):
    """And leaves how likely a pair is related at all."""
    look, g = opinion(config, statistics), torch.Generator().manual_seed(0)
    image = as_the_host_does(smooth_picture(90, 70, 0))
    boxes = torch.tensor([[3.0, 3, 20, 20], [9.0, 9, 40, 30], [30.0, 5, 88, 60]])
    labels, pairs = torch.tensor([2, 7, 5]), torch.tensor([[0, 1], [1, 0], [2, 0], [1, 2]])
    before = torch.randn(4, 6, generator=g)
    found = look(before, image, (90, 70), boxes, labels, pairs, torch.rand(4, generator=g))
    for n, (a, b) in enumerate(pairs.tolist()):
        union = torch.cat([boxes[[a, b], :2].amin(dim=0), boxes[[a, b], 2:].amax(dim=0)])
        c = look.crops.embed(image, (90, 70), union[None])[0]
        cosine = (look.opinions[0].tables["sp"][labels[a]] @ c + look.opinions[0].tables["po"][labels[b]] @ c)[1:] / 2
        clip = (0.7 * look.crops.encoder.scale * cosine).softmax(dim=0)
        joint = before[n, 1:].softmax(dim=0) * clip
        torch.testing.assert_close(found[n, 1:].softmax(dim=0), joint / joint.sum(), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found[n].softmax(dim=0)[0], before[n].softmax(dim=0)[0])
    assert not torch.allclose(found, before, atol=1e-2)


def test_it_looks_at_the_likeliest_pairs(config, statistics):
    everything, two = opinion(config, statistics), opinion(config, statistics, KEY + "PAIRS", 2)
    arguments = (
        torch.randn(4, 6, generator=torch.Generator().manual_seed(0)),
        as_the_host_does(smooth_picture(90, 70, 0)),
        (90, 70),
        torch.tensor([[3.0, 3, 20, 20], [9.0, 9, 40, 30], [30.0, 5, 88, 60]]),
        torch.tensor([2, 7, 5]),
        torch.tensor([[0, 1], [1, 0], [2, 0], [1, 2]]),
        torch.tensor([0.1, 0.9, 0.2, 0.5]),
    )
    expected, found = everything(*arguments), two(*arguments)
    assert (found != arguments[0]).any(dim=1).tolist() == [False, True, False, True]
    torch.testing.assert_close(found[[1, 3]], expected[[1, 3]])


def test_predicates_of_other_names_are_weighted_by_their_own_phrases(config, statistics):
    options = {"USE_BASE": False, "TEST_PREDICATES": ("near", "chasing")}
    with use_statistics(statistics()):
        look = make_second_opinion(config(host=ON, **options))
        ordinary = make_second_opinion(config(host=ON))
    assert look.opinions[0].tables["sp"].shape[:2] == (8, 3)
    torch.testing.assert_close(look.opinions[0].tables["po"][4, 1], ordinary.opinions[0].tables["po"][4, 5])


def test_it_is_no_part_of_a_checkpoint(config, statistics):
    with use_statistics(statistics()):
        heads = [ROIRelationHead(config("predcls", "MotifPredictor", host=host), 16) for host in ([], ON)]
    assert set(heads[0].state_dict()) == set(heads[1].state_dict())


def test_a_key_of_predictions_holds_the_tower_and_the_phrases(config, statistics):
    look = opinion(config, statistics)
    inputs = PostProcessor(second_opinion=look).prediction_inputs()
    tensors = [value for value in inputs.values() if isinstance(value, torch.Tensor)]
    wanted = [*look.crops.encoder.tower.state_dict().values(), *look.opinions[0].tables.values()]
    assert len(wanted) > 3 and all(any(found is one or torch.equal(found, one) for found in tensors) for one in wanted)
    assert inputs["scale"] == look.crops.encoder.scale and PostProcessor().prediction_inputs() == {}


def test_a_start_does_not_depend_on_what_was_loaded_before_it(config, statistics, tmp_path):
    """Neither on the image tower nor on whether the phrases were in the cache."""
    states = []
    for options, language in (([], {}), (ON, {}), ([], {"CACHE_DIR": str(tmp_path / "empty")})):
        torch.manual_seed(0)
        with use_statistics(statistics()):
            states.append(ROIRelationHead(config(host=options, language=language), 16).state_dict())
    for state in states[1:]:
        assert all(torch.equal(state[name], value) for name, value in states[0].items())


@pytest.mark.parametrize(
    "options, message",
    [
        ([KEY + "WEIGHT", -1.0], r"SECOND_OPINION.WEIGHT is -1.0 .*must be 0 or more"),
        ([KEY + "WEIGHT", math.nan], "WEIGHT is nan"),
        ([KEY + "PAIRS", 0], "PAIRS 0"),
        ([KEY + "MARGIN", 11.0], "SECOND_OPINION.MARGIN is 11.0"),
        ([KEY + "FIT", "cut"], "SECOND_OPINION.FIT is 'cut'; it must be pad or stretch"),
        ([KEY + "WEIGHT", 1.0, "MODEL.LANGUAGE.BANK_FILE", "bank.npz"], "leave one of them out"),
    ],
)
def test_wrong_settings_get_one_sentence(config, options, message):
    with pytest.raises((InputError, LanguageError), match=message) as error:
        make_second_opinion(config(host=options))
    assert "\n" not in str(error.value)


def test_without_a_weight_nobody_is_asked(config):
    assert make_second_opinion(config(host=[KEY + "WEIGHT", 0.0])) is None


def test_it_sees_the_image_of_each_pair_and_its_score(parity_statistics):
    """Images without objects are in the batch, too; scores are those of triplets, labels and boxes the objects'."""
    asked = []

    def ask(logits, image, size, boxes, labels, pairs, scores):
        asked.append((float(image.mean()), size, boxes, labels.tolist(), scores))
        return logits + torch.arange(51.0)

    head = ROIRelationHead(parity_config("predcls", "MotifPredictor"), 16).eval()
    head.post_processor.second_opinion = ask
    boxes = torch.tensor([[3.0, 3, 20, 20], [9.0, 9, 40, 30]])
    proposals = [
        boxlist(boxes[:n], (96, 64), labels=torch.ones(n).long() * 7, predict_logits=torch.zeros(n, 151))
        for n in (2, 0, 2)
    ]
    features = [torch.zeros(3, 16, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 64, 96)
    with torch.no_grad():
        _, found, _ = head(features, proposals, images=images)
        assert [(call[0], call[1], call[3]) for call in asked] == [(0.0, (96, 64), [7, 7]), (2.0, (96, 64), [7, 7])]
        assert torch.equal(asked[0][2], boxes)
        head.post_processor.second_opinion = None
        _, plain, _ = head(features, proposals, images=images)
    torch.testing.assert_close(
        asked[0][4].sort().values, plain[0].get_field("pred_rel_scores")[:, 1:].amax(1).sort().values
    )
    assert (found[0].get_field("pred_rel_labels") == 50).all()


def test_without_images_there_is_no_second_opinion():
    processor = PostProcessor(use_gt_box=True, second_opinion=lambda *_: None)
    with pytest.raises(ValueError, match="needs the images"):
        processor(([], []), [], [])


@pytest.mark.parametrize("name", ["MotifPredictor", "IMPPredictor", "RelCLIPPredictor"])
def test_any_predictor_can_be_asked_about(config, statistics, name):
    """Through the whole model, PredCls: CLIP moves predicates, and leaves how likely a pair is related."""
    batch = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
    boxes = torch.tensor([[3.0, 3, 20, 20], [9.0, 9, 40, 30], [30.0, 5, 90, 60]])
    found = []
    for options in ([], ON):
        targets = [
            boxlist(boxes[:n], (96, 64), labels=torch.arange(1, n + 1), attributes=torch.zeros(n, 10).long())
            for n in (3, 2)
        ]
        with use_statistics(statistics()), torch.no_grad():
            model = fill(build_detection_model(config("predcls", name, host=options))).eval()
            scores = []
            for prediction in model(batch, targets):
                order = (prediction.get_field("rel_pair_idxs") @ torch.tensor([3, 1])).argsort()
                scores.append(prediction.get_field("pred_rel_scores")[order])
        found.append(torch.cat(scores))
    without, with_images = found
    assert len(without) == 3 * 2 + 2 and not torch.allclose(without[:, 1:], with_images[:, 1:], atol=1e-3)
    torch.testing.assert_close(without[:, 0], with_images[:, 0])
