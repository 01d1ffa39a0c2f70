"""Crops, the image tower, and scores of candidates against doing everything one by one."""

import math

import numpy as np
import pytest
import torch
from noisy_scenes import CLASS_NAMES, PREDICATE_NAMES, make_arrays, random_base
from PIL import Image

from maskrcnn_benchmark.data.datasets.vg_format import corners
from maskrcnn_benchmark.distant import clip_scores
from maskrcnn_benchmark.distant.clip_scores import ClipScorer
from maskrcnn_benchmark.distant.crops import CropRule, crop
from maskrcnn_benchmark.distant.knowledge_base import read_knowledge_base
from maskrcnn_benchmark.distant.labelling import PairRule, label_images
from maskrcnn_benchmark.distant.labels import training_images
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.errors import RelCLIPError
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.image_encoder import (
    load_image_encoder,
    normalise_pictures,
)
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.text_encoder import EncoderSpec
from maskrcnn_benchmark.utils.errors import InputError

CPU = torch.device("cpu")
TEMPLATES = ("a photo of a {subject} {predicate} a {object}", "a {subject} {predicate} a {object}")


def picture(width, height, box, colour=(255, 0, 0)):
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste(colour, box)
    return image


def test_a_padded_crop_keeps_proportions_in_the_middle():
    cut = crop(picture(100, 80, (10, 20, 50, 30)), np.array([10, 20, 50, 30]), 40, CropRule(0.0), (1, 2, 3))
    assert cut.shape == (40, 40, 3) and cut.dtype == np.uint8
    assert (cut[15:25] == (255, 0, 0)).all() and (cut[:15] == (1, 2, 3)).all() and (cut[25:] == (1, 2, 3)).all()


def test_a_stretched_crop_fills_the_square():
    cut = crop(picture(100, 80, (10, 20, 50, 30)), np.array([10, 20, 50, 30]), 40, CropRule(0.0, "stretch"), (1, 2, 3))
    assert (cut[3:-3] == (255, 0, 0)).all()  # at the edges the filter sees beyond them


def test_the_margin_adds_surroundings_up_to_the_edge():
    image, box = picture(100, 80, (20, 20, 40, 40)), np.array([20, 20, 40, 40])
    red = (crop(image, box, 64, CropRule(0.5), (0, 0, 0))[..., 0] > 128).mean()
    assert red == pytest.approx(0.25, abs=0.02)
    whole = crop(image, box, 50, CropRule(9.0), (7, 7, 7))
    assert (whole[:4] == 7).all() and (whole[6:-6] != 7).any()


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (-9, -9, -2, -2), (200, 200, 300, 300)])
def test_boxes_without_extent_or_outside_give_a_picture(box):
    for fit in ("pad", "stretch"):
        assert crop(picture(30, 20, (0, 0, 1, 1)), np.array(box), 16, CropRule(0.1, fit), (0, 0, 0)).shape == (
            16,
            16,
            3,
        )


def test_wrong_rules_are_refused():
    with pytest.raises(InputError, match="--margin is -1"):
        CropRule(-1).check()
    with pytest.raises(InputError, match="--fit is cut"):
        CropRule(0, "cut").check()


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory):
    """A CLIP of random weights: its path, and the model itself."""
    library = pytest.importorskip("clip.model")
    torch.manual_seed(0)
    model = library.CLIP(16, 32, 1, 64, 16, 24, 49408, 64, 1, 1).eval()
    path = tmp_path_factory.mktemp("clip") / "tiny.pt"
    torch.save(model.state_dict(), path)
    return path, model


def test_the_image_tower_is_the_librarys_in_full_precision(tiny_clip):
    path, model = tiny_clip
    encoder = load_image_encoder(EncoderSpec("clip", str(path)), CPU)
    pictures = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.encode_image(normalise_pictures(pictures)), dim=-1)
    torch.testing.assert_close(encoder.encode(pictures), expected)
    assert encoder.resolution == 32 and encoder.scale == pytest.approx(math.exp(model.logit_scale.item()))


def test_weights_without_an_image_tower_are_refused(tmp_path):
    pytest.importorskip("clip")
    path = tmp_path / "text.pt"
    for tensors, message in (("positional_embedding", "no image tower"), ("visual.proj", "no weights of a CLIP")):
        torch.save({tensors: torch.zeros(1, 1)}, path)
        with pytest.raises(RelCLIPError, match=rf"text\.pt: .*{message}"):
            load_image_encoder(EncoderSpec("clip", str(path)), CPU)


@pytest.fixture
def scenes(tmp_path, write_json):
    """Arguments of `ClipScorer.logits`: candidates in random scenes, with pictures."""
    arrays = make_arrays(2, images=12)
    images = training_images(arrays, 0)
    base = read_knowledge_base(write_json(random_base()), CLASS_NAMES, PREDICATE_NAMES)
    labels = label_images(arrays, images, base, PairRule(overlap=False))
    rng = np.random.default_rng(0)
    sizes = rng.integers(30, 60, (12, 2))
    names = [str(tmp_path / f"{i}.png") for i in range(12)]
    for name, (width, height) in zip(names, sizes, strict=True):
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(name)
    return labels, arrays, names, sizes, CLASS_NAMES, PREDICATE_NAMES


def test_scores_equal_one_crop_and_one_phrase_at_a_time(scenes, tiny_clip, tmp_path, monkeypatch):
    import clip

    monkeypatch.setattr(clip_scores, "IMAGES_AT_ONCE", 4)
    path, model = tiny_clip
    labels, arrays, names, sizes, *_ = scenes
    rule = CropRule(0.2)
    scorer = ClipScorer(EncoderSpec("clip", str(path)), str(tmp_path), CPU, TEMPLATES, rule, batch=5)
    found = scorer.logits(*scenes)
    encoder = load_image_encoder(EncoderSpec("clip", str(path)), CPU)
    colour = tuple(round(255 * value) for value in encoder.mean)
    boxes = corners(arrays["boxes_1024"])
    normalize = torch.nn.functional.normalize
    expected = []
    for image, (s, o), p in zip(labels.image, labels.pairs, labels.predicates, strict=True):
        union = np.concatenate([np.minimum(boxes[s], boxes[o])[:2], np.maximum(boxes[s], boxes[o])[2:]])
        cut = crop(Image.open(names[image]), union / 1024 * max(sizes[image]), 32, rule, colour)
        words = [CLASS_NAMES[arrays["labels"][i, 0]].replace("_", " ") for i in (s, o)]
        texts = [t.format(subject=words[0], predicate=PREDICATE_NAMES[p], object=words[1]) for t in TEMPLATES]
        with torch.no_grad():
            each = normalize(model.encode_text(clip.tokenize(texts, context_length=24)), dim=-1)
        cosine = encoder.encode(torch.from_numpy(cut.copy())[None]) @ normalize(each.mean(0), dim=0)
        expected.append(math.exp(model.logit_scale.item()) * float(cosine))
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_scores_are_found_again_on_the_disk_and_go_on_where_they_stopped(scenes, tiny_clip, tmp_path, monkeypatch):
    monkeypatch.setattr(clip_scores, "IMAGES_AT_ONCE", 3)
    scorer = ClipScorer(EncoderSpec("clip", str(tiny_clip[0])), str(tmp_path / "cache"), CPU, TEMPLATES)
    first = scorer.logits(*scenes)
    files = sorted((tmp_path / "cache" / "pair-scores").glob("*.npy"))
    assert len(files) > 1
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:90])
    np.testing.assert_allclose(scorer.logits(*scenes), first, atol=1e-6)
    assert sorted((tmp_path / "cache" / "pair-scores").glob("*.npy")) == files

    def no_encoder(*_):
        raise AssertionError("everything is on the disk")

    monkeypatch.setattr(clip_scores, "load_image_encoder", no_encoder)
    np.testing.assert_allclose(scorer.logits(*scenes), first, atol=1e-6)
    with pytest.raises(AssertionError):  # another crop is something else
        ClipScorer(scorer.spec, scorer.cache_dir, CPU, TEMPLATES, CropRule(0.3)).logits(*scenes)


def test_no_labels_no_scores(scenes, tiny_clip, tmp_path):
    labels, *others = scenes
    scorer = ClipScorer(EncoderSpec("clip", str(tiny_clip[0])), str(tmp_path), CPU, TEMPLATES)
    assert len(scorer.logits(labels.take(slice(0), labels.weights[:0]), *others)) == 0
