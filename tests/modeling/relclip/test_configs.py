"""The files of configs/relclip load here and with SGB's keys, and say nothing that the defaults say already."""

import importlib.util
import itertools
import json

import pytest
import yaml
from support import PARITY
from yacs.config import CfgNode

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.modeling.roi_heads.relation_head.relclip.defaults import add_relclip_config, relclip_node

ROOT = PARITY.parents[2]
FOLDER = ROOT / "configs" / "relclip"
FILES = sorted(FOLDER.glob("*.yaml"))


def keys(values: dict, prefix=""):
    """(dotted key, value) of everything in a file."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def sgb_defaults() -> CfgNode:
    """SGB's recorded default configuration, with the plugin's node."""
    config = CfgNode(json.loads((PARITY / "sgb_config_defaults.json").read_text()))
    add_relclip_config(config)
    return config


def value_of(config, key):
    for part in key.split("."):
        config = config[part]
    return config


def plain(value):
    return list(value) if isinstance(value, (list, tuple)) else value


def test_there_is_a_file_for_every_context_task_and_supervision():
    expected = {
        f"{context}_{task}_{supervision}"
        for context in ("motifs", "vctree", "transformer", "vtranse", "none")
        for task in ("predcls", "sgcls", "sgdet")
        for supervision in ("full", "distant")
    }
    assert {path.stem for path in FILES} == expected


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in FILES])
def test_a_file_sets_its_context_and_task_with_sgbs_keys_and_only_what_differs(path):
    context, task, supervision = path.stem.split("_")
    config = sgb_defaults()
    defaults = config.clone()
    config.merge_from_file(str(path))  # fails where SGB lacks a key
    for key, _ in keys(yaml.safe_load(path.read_text())):
        assert plain(value_of(config, key)) != plain(value_of(defaults, key)), f"{key} has its default value"
    head = config.MODEL.ROI_RELATION_HEAD
    assert context == head.RELCLIP.CONTEXT and head.PREDICTOR == "RelCLIPPredictor"
    given = {"predcls": (True, True), "sgcls": (True, False), "sgdet": (False, False)}[task]
    assert given == (head.USE_GT_BOX, head.USE_GT_OBJECT_LABEL)
    assert head.PREDICT_USE_BIAS and {"full": "phrases", "distant": "triplets"}[supervision] == head.RELCLIP.BIAS


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in FILES])
def test_every_value_has_a_reason(path):
    lines = path.read_text().splitlines()
    for above, line in itertools.pairwise(lines):
        if ":" in line and not line.rstrip().endswith(":") and not line.lstrip().startswith("#"):
            assert "#" in line or above.lstrip().startswith("#") or "PREDICTOR" in line, line


def test_the_host_loads_them():
    for path in FILES:
        assert load_config(str(path)).MODEL.ROI_BOX_HEAD.NUM_CLASSES == 151


def test_they_are_what_the_tool_writes():
    spec = importlib.util.spec_from_file_location("tool", ROOT / "tools" / "write_relclip_configs.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    written = [*FILES, *(ROOT / "configs" / "baselines").glob("*.yaml")]
    assert {path: path.read_text() for path in written} == tool.all_files()


def test_the_node_is_added_once_and_to_frozen_configurations_too():
    config = CfgNode(json.loads((PARITY / "sgb_config_defaults.json").read_text()))
    config.freeze()
    add_relclip_config(config)
    assert config.is_frozen() and relclip_node() == config.MODEL.ROI_RELATION_HEAD.RELCLIP
    config.defrost()
    config.MODEL.ROI_RELATION_HEAD.RELCLIP.CONTEXT = "vctree"
    add_relclip_config(config)
    assert config.MODEL.ROI_RELATION_HEAD.RELCLIP.CONTEXT == "vctree"
