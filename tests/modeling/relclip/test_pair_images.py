"""What CLIP's image tower sees of pairs, and what becomes of the logits: against one pair at a time."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from support import boxlist, parity_config
from torch.nn import functional

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.data.build import use_statistics
from maskrcnn_benchmark.distant.crops import CropRule, crop
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relation_head import ROIRelationHead
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.errors import RelCLIPError
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.image_encoder import (
    IMAGE_MEAN,
    IMAGE_STD,
    ImageEncoder,
    load_image_encoder,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.pair_images import PairImages
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.text_encoder import EncoderSpec

CPU = torch.device("cpu")
SIZE = 32  # pixels a side of what the tower takes
COLOUR = tuple(round(255 * value) for value in IMAGE_MEAN)


class Flat(torch.nn.Module):
    """A tower that hands on what it sees."""

    def forward(self, pixels):
        return pixels.flatten(1)


def as_the_host_does(pictures, pixel_std=(1.0, 1.0, 1.0)):
    """RGB pictures as the detector takes them: BGR, normalised, padded to the right and below."""
    height, width = (max(sizes) for sizes in zip(*((p.height, p.width) for p in pictures), strict=True))
    images = torch.zeros(len(pictures), 3, height + 5, width + 7)
    for image, picture in zip(images, pictures, strict=True):
        pixels = torch.from_numpy(np.asarray(picture).copy()).float().permute(2, 0, 1).flip(0)
        mean, std = (torch.tensor(x)[:, None, None] for x in (cfg.INPUT.PIXEL_MEAN, pixel_std))
        image[:, : picture.height, : picture.width] = (pixels - mean) / std
    return images


def smooth_picture(width, height, seed):
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def seen(pictures, image, boxes, margin, fit, images=None):
    """What a tower would see, [k, 3, S, S], up to its length."""
    encoder = ImageEncoder(Flat(), SIZE, IMAGE_MEAN, IMAGE_STD, 1.0, CPU)
    embed = PairImages(encoder, cfg.INPUT, margin, fit)
    sizes = [picture.size for picture in pictures]
    images = as_the_host_does(pictures) if images is None else images
    return embed(images, sizes, torch.tensor(image), torch.tensor(boxes)).view(-1, 3, SIZE, SIZE)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
@pytest.mark.parametrize("margin", [0.0, 0.2])
def test_it_sees_what_weighs_distant_labels(fit, margin):
    """The same pictures as `distant.crops.crop` cuts, but for the filter."""
    pictures = [smooth_picture(90, 70, 0), smooth_picture(60, 80, 1)]
    image, boxes = [0, 1, 0, 1], [[10.0, 20, 50, 40], [0.0, 5, 59, 79], [70.0, 5, 86, 69], [12.0, 30, 20, 62]]
    found = seen(pictures, image, boxes, margin, fit)
    for picture, box, one in zip(image, boxes, found, strict=True):
        cut = crop(pictures[picture], np.array(box), SIZE, CropRule(margin, fit), COLOUR)
        mean, std = torch.tensor(IMAGE_MEAN), torch.tensor(IMAGE_STD)
        expected = ((torch.from_numpy(cut.copy()) / 255 - mean) / std).permute(2, 0, 1)
        assert functional.cosine_similarity(one.flatten(), expected.flatten(), dim=0) > 0.99


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
        images = pixels.view(1, 3, 1, 1).expand(1, 3, 20, 30)
        found = PairImages(encoder, node, 0.1, "stretch")(images, [(30, 20)], torch.tensor([0]), torch.ones(1, 4) * 9)
        expected = ((rgb - torch.tensor(IMAGE_MEAN)) / torch.tensor(IMAGE_STD))[:, None].expand(3, SIZE * SIZE)
        torch.testing.assert_close(found[0], functional.normalize(expected.flatten(), dim=0))


def test_nothing_but_the_box_is_seen():
    """Neither the padding of the batch nor, with `pad`, what lies beside a narrow box."""
    picture = smooth_picture(60, 40, 2)
    for fit, boxes in (("stretch", [[30.0, 10, 59, 39]]), ("pad", [[20.0, 0, 30, 39]])):
        images = as_the_host_does([picture])
        expected = seen([picture], [0], boxes, 0.1, fit, images)
        images[..., 61:] = images[:, :, 41:] = 1e6  # the first ones, of the margin, interpolation may touch
        if fit == "pad":
            images[..., :15] = images[..., 35:] = 1e6
        torch.testing.assert_close(seen([picture], [0], boxes, 0.1, fit, images), expected)
    for box in ([5.0, 5, 5, 5], [-9.0, -9, -2, -2], [200.0, 200, 300, 300]):
        assert torch.isfinite(seen([picture], [0], [box], 0.1, "pad")).all()


def pictures_of(batch):
    return torch.randn(len(batch.proposals), 3, 160, 200, generator=torch.Generator().manual_seed(4)) * 60


def logits_of(model, batch, images=None):
    with torch.no_grad():
        if images is not None:
            model.look_at(images)
        return torch.cat(model.eval()(*batch.arguments(training=False))[1])


@pytest.mark.parametrize("options", [{}, {"USE_ALIGNMENT": False, "USE_RCL": False}, {"LEVELS": ("spo",)}])
def test_predicates_are_weighed_by_what_clip_sees(predictor, scene, tiny_clip, options):
    batch = scene((4, 1, 3))
    model = predictor(IMAGE_WEIGHT=0.7, IMAGE_FIT="stretch", IMAGE_MARGIN=0.0, **options)
    images = pictures_of(batch)
    found, before = logits_of(model, batch, images), logits_of(predictor(**options), batch)
    encoder = load_image_encoder(EncoderSpec("clip", str(tiny_clip)), CPU)
    embed = PairImages(encoder, cfg.INPUT, 0.0, "stretch")
    levels = options.get("LEVELS", ("sp", "po"))
    row = 0
    for i, (proposal, pairs) in enumerate(zip(batch.proposals, batch.pairs, strict=True)):
        labels = proposal.get_field("labels")
        for a, b in pairs.tolist():
            ends = proposal.bbox[[a, b]]
            box = torch.cat([ends[:, :2].amin(dim=0), ends[:, 2:].amax(dim=0)])
            v = embed(images[i][None], [proposal.size], torch.tensor([0]), box[None])[0]
            table = {
                "sp": lambda s, o: model.table_sp[s],
                "po": lambda s, o: model.table_po[o],
                "spo": lambda s, o: model.table_spo[s * 8 + o],
            }
            cosine = sum(table[level](labels[a], labels[b])[1:].float() @ v for level in levels) / len(levels)
            clip = (0.7 * encoder.scale * cosine).softmax(dim=0)
            joint = before[row, 1:].softmax(dim=0) * clip
            torch.testing.assert_close(found[row, 1:].softmax(dim=0), joint / joint.sum(), atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(found[row].softmax(dim=0)[0], before[row].softmax(dim=0)[0])
            row += 1
    assert row == len(found) and not torch.allclose(found, before, atol=1e-2)


def test_it_looks_at_the_likeliest_pairs(predictor, scene):
    batch = scene((4, 3))
    images = pictures_of(batch)
    everything = logits_of(predictor("sgcls", IMAGE_WEIGHT=1.0), batch, images)
    before = logits_of(predictor("sgcls"), batch)
    model = predictor("sgcls", IMAGE_WEIGHT=1.0, IMAGE_PAIRS=2)
    found = logits_of(model, batch, images)
    changed = (found != before).any(dim=1)
    torch.testing.assert_close(found[changed], everything[changed])
    with torch.no_grad():
        objects = model.encode_pairs(*batch.arguments(False)[:2], *batch[4:])
    certainty = objects.object_logits.softmax(dim=1)
    score = before.softmax(dim=1)[:, 1:].amax(dim=1)
    score = score * certainty[objects.subject, objects.subject_label] * certainty[objects.object, objects.object_label]
    expected = torch.zeros(len(score), dtype=torch.bool)
    expected[score[:12].topk(2).indices] = True
    expected[12 + score[12:].topk(2).indices] = True
    assert torch.equal(changed, expected)


def test_training_and_checkpoints_know_nothing_of_it(predictor, scene):
    batch, model = scene(), predictor(IMAGE_WEIGHT=1.0)
    torch.manual_seed(3)
    found = torch.cat(model.train()(*batch.arguments(True))[1])
    torch.manual_seed(3)
    torch.testing.assert_close(found, torch.cat(predictor().train()(*batch.arguments(True))[1]))
    assert set(model.state_dict()) == set(predictor().state_dict())


def test_a_start_does_not_depend_on_what_was_loaded_before_it(predictor, tmp_path):
    """Neither on the image tower nor on whether the phrases were in the cache."""
    expected = predictor().state_dict()
    for options in ({"IMAGE_WEIGHT": 1.0}, {"CACHE_DIR": str(tmp_path / "empty")}):
        found = predictor(**options).state_dict()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_without_images_it_says_what_to_do(predictor, scene):
    batch, model = scene(), predictor(IMAGE_WEIGHT=1.0)
    images = pictures_of(batch)
    for shown in (None, images[:1]):
        with pytest.raises(RelCLIPError, match=r"IMAGE_WEIGHT needs the images: the host has to call"):
            logits_of(model, batch, shown)
    logits_of(model, batch, images)
    with pytest.raises(RelCLIPError, match="needs the images"):  # those of another batch are not taken
        logits_of(model, batch)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"IMAGE_WEIGHT": -1.0}, r"IMAGE_WEIGHT is -1.0, .*can be 0 or more"),
        ({"IMAGE_WEIGHT": math.nan}, "IMAGE_WEIGHT is nan"),
        ({"IMAGE_PAIRS": 0}, "IMAGE_PAIRS 0"),
        ({"IMAGE_MARGIN": 11.0}, "IMAGE_MARGIN 11.0"),
        ({"IMAGE_FIT": "cut"}, "IMAGE_FIT is 'cut'; it can be pad, stretch"),
        ({"IMAGE_WEIGHT": 1.0, "BANK_FILE": "bank.npz"}, "leave one of them out"),
    ],
)
def test_wrong_settings_get_one_sentence(predictor, options, message):
    with pytest.raises(RelCLIPError, match=message) as error:
        predictor(**options)
    assert "\n" not in str(error.value)


def test_the_head_shows_the_images_that_have_objects(parity_statistics):
    shown = []

    class Predictor(torch.nn.Module):
        def look_at(self, images):
            shown.append(images)

        def forward(self, proposals, rel_pair_idxs, *_):
            return (
                [torch.zeros(len(p), 151) for p in proposals],
                [torch.zeros(len(p), 51) for p in rel_pair_idxs],
                {},
            )

    head = ROIRelationHead(parity_config("predcls", "MotifPredictor"), 16).eval()
    head.predictor = Predictor()
    boxes = torch.tensor([[3.0, 3, 20, 20], [9.0, 9, 40, 30]])
    proposals = [
        boxlist(boxes[:n], (96, 64), labels=torch.ones(n).long(), predict_logits=torch.zeros(n, 151)) for n in (2, 0, 2)
    ]
    features = [torch.zeros(3, 16, 64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 3, 64, 96)
    with torch.no_grad():
        head(features, proposals, images=images)
    assert torch.equal(shown.pop(), images[[0, 2]]) and not shown
    with torch.no_grad():
        head(features, proposals)
    assert not shown


def test_the_detector_hands_its_images_on(config, statistics):
    """Through the whole model, PredCls: CLIP moves predicates, and leaves how likely a pair is related."""
    batch = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 255
    boxes = torch.tensor([[3.0, 3, 20, 20], [9.0, 9, 40, 30], [30.0, 5, 90, 60]])
    found = {}
    for weight in (0.0, 1.0):
        targets = [
            boxlist(boxes[:n], (96, 64), labels=torch.arange(1, n + 1), attributes=torch.zeros(n, 10).long())
            for n in (3, 2)
        ]
        torch.manual_seed(0)
        with use_statistics(statistics()), torch.no_grad():
            model = build_detection_model(config(IMAGE_WEIGHT=weight)).eval()
            predictions = model(batch, targets)
        for prediction in predictions:
            order = (prediction.get_field("rel_pair_idxs") @ torch.tensor([3, 1])).argsort()
            found.setdefault(weight, []).append(prediction.get_field("pred_rel_scores")[order])
    without, with_images = (torch.cat(scores) for scores in found.values())
    assert len(without) == 3 * 2 + 2 and not torch.allclose(without[:, 1:], with_images[:, 1:], atol=1e-3)
    torch.testing.assert_close(without[:, 0], with_images[:, 0])
