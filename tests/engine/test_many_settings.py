"""Settings of what comes after the predictor: which there can be, and that a box is embedded once for all of them."""

import json

import pytest
import torch
from small_run import write_config
from support import HEAD

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.engine.many_settings import SharedCrops, read_settings
from maskrcnn_benchmark.utils.errors import InputError

WEIGHT = HEAD + "SECOND_OPINION.WEIGHT"


@pytest.fixture
def cfg(tmp_path):
    return load_config(str(write_config(tmp_path)))


def settings_of(cfg, tmp_path, text):
    (tmp_path / "settings.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return read_settings(tmp_path / "settings.json", cfg)


def test_settings_differ_from_the_model_where_they_say(cfg, tmp_path):
    plain, weighted = settings_of(cfg, tmp_path, {"plain": [], "weight 0.5": [WEIGHT, 0.5]})
    assert plain.name == "plain" and plain.cfg == cfg
    assert weighted.cfg.MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT == 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "settings.json is cut short or no json"),
        ({}, "length >= 1"),
        ({"a": "b"}, r"settings\.json, \['a'\]: expected a list"),
        ('{"a": [], "a": []}', "has the key 'a' twice"),
        ({"../a": []}, "its name becomes a folder"),
        ({"inference": []}, "do not call it inference"),
        ({"a": ["SOLVER.BASE_LR", 1.0]}, "'a' changes SOLVER.BASE_LR, which decides more"),
        ({"a": [HEAD + "PREDICT_USE_BIAS", False]}, "PREDICT_USE_BIAS, which decides more"),
        ({"a": [HEAD + "RELCLIP.ALIGNMENT_WEIGHT", 2.0]}, "ALIGNMENT_WEIGHT, which decides the predictor's own logits"),
        ({"a": [WEIGHT, "much"]}, "'a': option .*WEIGHT must be of type float"),
        ({"a": [WEIGHT]}, "'a': options come as pairs"),
    ],
)
def test_what_is_no_setting_is_one_sentence(cfg, tmp_path, given, message):
    with pytest.raises(InputError, match=message):
        settings_of(cfg, tmp_path, given)


def test_a_box_is_embedded_once_for_all_settings_of_a_batch():
    seen = []

    class Crops:
        encoder = None

        def embed(self, image, size, boxes):
            seen.extend(boxes.tolist())
            return boxes + image.sum()

    crops, images = SharedCrops(Crops()), torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])
    boxes = torch.arange(12.0).reshape(3, 4)
    for image in images:
        assert torch.equal(crops.embed(image, (4, 4), boxes[:2]), boxes[:2] + image.sum())
        assert torch.equal(crops.embed(image, (4, 4), boxes.flip(0)), boxes.flip(0) + image.sum())
    assert len(seen) == 6
    crops.forget()
    crops.embed(images[0], (4, 4), boxes[:1])
    assert len(seen) == 7
