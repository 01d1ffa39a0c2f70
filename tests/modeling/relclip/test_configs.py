"""The files of configs/relclip load here and with SGB's keys."""

import json

import pytest
from resolved_configs import leaves
from support import PARITY
from yacs.config import CfgNode

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.defaults import add_relclip_config, relclip_node

ROOT = PARITY.parents[2]
FOLDER = ROOT / "configs" / "relclip"
FILES = sorted(FOLDER.glob("*.yaml"))


def sgb_defaults() -> CfgNode:
    """SGB's recorded default configuration, with the plugin's node."""
    config = CfgNode(json.loads((PARITY / "sgb_config_defaults.json").read_text()))
    add_relclip_config(config)
    return config


def test_there_is_a_file_for_every_context_task_and_supervision():
    expected = {
        f"{context}_{task}_{supervision}"
        for context in ("motifs", "vctree", "transformer", "vtranse", "none")
        for task in ("predcls", "sgcls", "sgdet")
        for supervision in ("full", "distant")
    }
    assert {path.stem for path in FILES} == expected


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in FILES])
def test_a_file_sets_its_context_and_task_with_sgbs_keys(path):
    context, task, _ = path.stem.split("_")
    config, defaults = load_config(str(path)), dict(leaves(load_config()))
    ours = {key for key, value in leaves(config) if value != defaults[key]}
    assert ours <= dict(leaves(sgb_defaults())).keys()
    head = config.MODEL.ROI_RELATION_HEAD
    assert context == head.RELCLIP.CONTEXT and head.PREDICTOR == "RelCLIPPredictor"
    given = {"predcls": (True, True), "sgcls": (True, False), "sgdet": (False, False)}[task]
    assert given == (head.USE_GT_BOX, head.USE_GT_OBJECT_LABEL)
    assert head.PREDICT_USE_BIAS and not head.PHRASE_PRIOR.ON and not head.SECOND_OPINION.WEIGHT  # the paper's method


def test_the_host_loads_them():
    for path in FILES:
        assert load_config(str(path)).MODEL.ROI_BOX_HEAD.NUM_CLASSES == 151


def test_the_node_is_added_once_and_to_frozen_configurations_too():
    config = CfgNode(json.loads((PARITY / "sgb_config_defaults.json").read_text()))
    config.freeze()
    add_relclip_config(config)
    assert config.is_frozen() and relclip_node() == config.MODEL.ROI_RELATION_HEAD.RELCLIP
    config.defrost()
    config.MODEL.ROI_RELATION_HEAD.RELCLIP.CONTEXT = "vctree"
    add_relclip_config(config)
    assert config.MODEL.ROI_RELATION_HEAD.RELCLIP.CONTEXT == "vctree"
