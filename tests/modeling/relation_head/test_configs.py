"""The configuration files that carry SGB's names."""

from pathlib import Path

import pytest
import torch
from support import HEAD, TASKS

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.modeling.detector import build_detection_model

CONFIGS = Path(__file__).parents[3] / "configs"
DEVICE = ["MODEL.DEVICE", "cpu"]
BACKBONES = ("X_101_32_8_FPN", "R_101_FPN", "VGG16")
BASELINES = {
    "motifs": "MotifPredictor",
    "vctree": "VCTreePredictor",
    "transformer": "TransformerPredictor",
    "imp": "IMPPredictor",
    "causal-motifs": "CausalAnalysisPredictor",
    "causal-vctree": "CausalAnalysisPredictor",
    "causal-vtranse": "CausalAnalysisPredictor",
    "penet": "PrototypeEmbeddingNetwork",
    "squat": "SquatPredictor",
    "bgnn": "BGNNPredictor",
    "gpsnet": "GPSNetPredictor",
}


def build(name, *options):
    with torch.device("meta"):  # shapes without values
        return build_detection_model(load_config(str(CONFIGS / name), [*DEVICE, *options]))


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


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_has_a_file_for_every_task_and_supervision(parity_statistics, name):
    context = name.removeprefix("causal-")
    for task, given in TASKS.items():
        for supervision in ("full", "distant"):
            config = load_config(str(CONFIGS / "baselines" / f"{name}_{task}_{supervision}.yaml"), DEVICE)
            head = config.MODEL.ROI_RELATION_HEAD
            assert given == (head.USE_GT_BOX, head.USE_GT_OBJECT_LABEL)
            assert BASELINES[name] == head.PREDICTOR
            assert name.startswith("causal-") == head.CAUSAL.EFFECT_ANALYSIS
            assert (context if name.startswith("causal-") else "motifs") == head.CAUSAL.CONTEXT_LAYER
            assert (1024 if context == "vctree" else 512) == head.CONTEXT_HIDDEN_DIM
            assert head.PREDICT_USE_BIAS
            assert f"output/baselines/{name}_{task}_{supervision}" == config.OUTPUT_DIR
    with torch.device("meta"):
        model = build_detection_model(config)
    assert type(model.roi_heads["relation"].predictor).__name__ == BASELINES[name]


def test_a_baseline_differs_from_relclip_in_the_predictor_alone():
    def flat(node, prefix=""):
        for key, value in node.items():
            yield from flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]

    for name in ("motifs", "vctree", "transformer"):
        own, of_relclip = (
            dict(flat(load_config(str(CONFIGS / folder / f"{name}_sgdet_full.yaml"), DEVICE)))
            for folder in ("baselines", "relclip")
        )
        differing = {key for key in own if own[key] != of_relclip[key]}
        own_keys = {HEAD + "RELCLIP.CONTEXT", HEAD + "RELCLIP.SYNONYMS"}
        assert differing - own_keys == {HEAD + "PREDICTOR", "OUTPUT_DIR"}
