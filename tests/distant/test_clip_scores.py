"""The image tower, and scores of candidates against doing everything one by one."""

import math

import numpy as np
import pytest
import torch
from noisy_scenes import CLASS_NAMES, PREDICATE_NAMES, make_arrays, random_base
from PIL import Image

from maskrcnn_benchmark.data.datasets.vg_format import corners
from maskrcnn_benchmark.distant import clip_scores
from maskrcnn_benchmark.distant.clip_scores import ClipScorer
from maskrcnn_benchmark.distant.knowledge_base import read_knowledge_base
from maskrcnn_benchmark.distant.labelling import PairRule, label_images
from maskrcnn_benchmark.distant.labels import training_images
from maskrcnn_benchmark.modeling.language.crops import CropRule, crop_boxes
from maskrcnn_benchmark.modeling.language.errors import LanguageError
from maskrcnn_benchmark.modeling.language.image_encoder import (
    load_image_encoder,
    normalise_pictures,
)
from maskrcnn_benchmark.modeling.language.text_encoder import EncoderSpec

CPU = torch.device("cpu")
TEMPLATES = ("a photo of a {subject} {predicate} a {object}", "a {subject} {predicate} a {object}")


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
    torch.testing.assert_close(encoder.embed(normalise_pictures(pictures)), expected)
    assert encoder.resolution == 32 and encoder.scale == pytest.approx(math.exp(model.logit_scale.item()))


def test_weights_without_an_image_tower_are_refused(tmp_path):
    pytest.importorskip("clip")
    path = tmp_path / "text.pt"
    for tensors, message in (("positional_embedding", "no image tower"), ("visual.proj", "no weights of a CLIP")):
        torch.save({tensors: torch.zeros(1, 1)}, path)
        with pytest.raises(LanguageError, match=rf"text\.pt: .*{message}"):
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
    boxes = corners(arrays["boxes_1024"])
    normalize = torch.nn.functional.normalize
    expected = []
    for image, (s, o), p in zip(labels.image, labels.pairs, labels.predicates, strict=True):
        union = np.concatenate([np.minimum(boxes[s], boxes[o])[:2], np.maximum(boxes[s], boxes[o])[2:]])
        pixels = normalise_pictures(torch.from_numpy(np.array(Image.open(names[image]))[None]))
        box = torch.from_numpy(union / 1024 * max(sizes[image]))[None].float()
        cut = crop_boxes(pixels, [tuple(sizes[image])], torch.tensor([0]), box, 32, rule)
        words = [CLASS_NAMES[arrays["labels"][i, 0]].replace("_", " ") for i in (s, o)]
        texts = [t.format(subject=words[0], predicate=PREDICATE_NAMES[p], object=words[1]) for t in TEMPLATES]
        with torch.no_grad():
            each = normalize(model.encode_text(clip.tokenize(texts, context_length=24)), dim=-1)
        cosine = encoder.embed(cut) @ normalize(each.mean(0), dim=0)
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
