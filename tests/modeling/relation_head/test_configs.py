"""The configuration files that carry SGB's names."""

from pathlib import Path

import pytest
import torch
from support import HEAD

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.modeling.detector import build_detection_model

CONFIGS = Path(__file__).parents[3] / "configs"
BACKBONES = ("X_101_32_8_FPN", "R_101_FPN", "VGG16")


def build(name, *options):
    with torch.device("meta"):  # shapes without values
        return build_detection_model(load_config(str(CONFIGS / name), ["MODEL.DEVICE", "cpu", *options]))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("predictor", ("MotifPredictor", "VCTreePredictor", "TransformerPredictor", "IMPPredictor"))
def test_a_relation_model_takes_all_weights_of_its_detector(parity_statistics, backbone, predictor):
    detector = build(f"e2e_relation_detector_{backbone}_1x.yaml").state_dict()
    relation = build(f"e2e_relation_{backbone}_1x.yaml", HEAD + "PREDICTOR", predictor).state_dict()
    for name, value in detector.items():
        assert relation[name].shape == value.shape, name
    for part in ("fc6", "fc7"):  # where the relation head's own extractors start
        start = detector[f"roi_heads.box.feature_extractor.{part}.weight"].shape
        assert relation[f"roi_heads.relation.box_feature_extractor.{part}.weight"].shape == start
        assert relation[f"roi_heads.relation.union_feature_extractor.feature_extractor.{part}.weight"].shape == start


def test_the_published_setting_builds_the_causal_predictor(parity_statistics):
    model = build("e2e_relation_X_101_32_8_FPN_1x.yaml")
    assert type(model.roi_heads["relation"].predictor).__name__ == "CausalAnalysisPredictor"
