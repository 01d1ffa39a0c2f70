"""load_config: SGB's keys and defaults, its files, and what is refused."""

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from support import PARITY

from maskrcnn_benchmark.config import cfg as default
from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.config.node import dotted_keys
from maskrcnn_benchmark.utils.errors import InputError

SGB = json.loads((PARITY / "sgb_config_defaults.json").read_text())
PYSGG = json.loads((PARITY / "newer" / "pysgg_config_defaults.json").read_text())  # below ROI_RELATION_HEAD
ADDED = {
    "PROCESS_TIMEOUT": 1800.0,
    "MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR.ON": False,
    "MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR.WIDTH": 0.2,
    "MODEL.ROI_RELATION_HEAD.PHRASE_PRIOR.LEAVE_OUT": True,
    "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT": 0.0,
    "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.PAIRS": 256,
    "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.FIT": "pad",
    "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.MARGIN": 0.1,
    "MODEL.ROI_RELATION_HEAD.SECOND_OPINION.CROP_CACHE": "",
    "MODEL.ROI_RELATION_HEAD.PENET_MLP_DIM": 2048,
    "DATASETS.STATISTICS_OVERLAP": True,
    "INPUT.MAX_PIXELS": 60_000_000,
    "MODEL.BACKBONE.FEATURE_CACHE": "",
    "MODEL.BACKBONE.FEATURE_CACHE_DTYPE": "float32",
    "MODEL.BACKBONE.COMPILE": False,
    "DATASETS.DATA_DIR": "datasets",
    "DATASETS.NUM_VAL_IM": 5000,
    "MODEL.ROI_RELATION_HEAD.WORD_EMBEDDING": "glove",
    "TEST.RELATION.ZERO_SHOT_TRIPLETS": "",
    "TEST.RELATION.PROTOCOL": "sgb",
    "TEST.RELATION.FIRST_TRIPLETS": 100,
    "TEST.RELATION.CONSTRAINT": None,
    "TEST.RELATION.GROUND_TRUTH": None,
    "TEST.RELATION.AVERAGE": None,
    "TEST.RELATION.MATCHING": None,
    "TEST.RELATION.UNPREDICTED": None,
    "TEST.RELATION.RELATION_NMS": None,
    "TEST.RELATION.INCLUSIVE_BOXES": None,
    "TEST.RELATION.TOP_K": None,
    "TEST.RELATION.NOVEL_PREDICATES": [],
}


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, list(value) if isinstance(value, tuple) else value


def test_defaults_are_those_of_sgb():
    ours = dict(leaves(default))
    theirs = dict(leaves(SGB))
    assert ours.pop("MODEL.DEVICE") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert theirs.pop("MODEL.DEVICE") == "cuda"
    assert {key: ours.get(key) for key in theirs} == theirs


def test_no_other_keys_than_those_of_sgb_and_those_added():
    groups = tuple(f"MODEL.ROI_RELATION_HEAD.{name}" for name in ("RELCLIP.", "DEBIASING.", "DATA_RESAMPLING"))
    ours = {k: v for k, v in leaves(default) if not k.startswith((*groups, "MODEL.LANGUAGE."))}
    added = {key: value for key, value in ours.items() if key not in dict(leaves(SGB))}
    assert added.pop("PATHS_CATALOG").endswith("maskrcnn_benchmark/config/paths_catalog.py")
    of_pysgg = {f"MODEL.ROI_RELATION_HEAD.{key}": value for key, value in PYSGG.items()}
    # here 0, so that SGB's models look at all pairs
    assert of_pysgg.pop("MODEL.ROI_RELATION_HEAD.MAX_PROPOSAL_PAIR") == 2048
    assert added.pop("MODEL.ROI_RELATION_HEAD.MAX_PROPOSAL_PAIR") == 0
    assert added == {**ADDED, **of_pysgg}


def test_a_file_that_sgb_wrote_beside_its_checkpoints_loads(tmp_path):
    written = json.loads(json.dumps(SGB))
    written["MODEL"].update(
        DEVICE="cpu",
        ROI_MASK_HEAD={"RESOLUTION": 14},
        ROI_KEYPOINT_HEAD={"RESOLUTION": 14},
        RETINANET={"NUM_CONVS": 4},
        FBNET={"ARCH": "default"},
    )
    written.update(PATHS_CATALOG="/elsewhere/maskrcnn_benchmark/config/paths_catalog.py", PATHS_DATA="/elsewhere/data")
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(written))
    config = load_config(str(path), ["SOLVER.MAX_ITER", "7"])
    assert config.SOLVER.MAX_ITER == 7
    assert config.is_frozen()
    assert "ROI_MASK_HEAD" not in config.MODEL


def test_what_is_dumped_loads_again(tmp_path):
    config = load_config("", ["MODEL.DEVICE", "cpu", "DATASETS.TRAIN", "('VG_stanford_filtered_train',)"])
    path = tmp_path / "config.yml"
    path.write_text(config.dump())
    assert load_config(str(path)) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.MASK_ON", True),
        ("MODEL.KEYPOINT_ON", True),
        ("MODEL.RETINANET_ON", True),
        ("MODEL.ATTRIBUTE_ON", True),
        ("MODEL.RPN_ONLY", True),
        ("TEST.BBOX_AUG.ENABLED", True),
        ("MODEL.RESNETS.STAGE_WITH_DCN", (False, True, True, True)),
    ],
)
def test_asking_for_what_is_left_out(key, value):
    with pytest.raises(InputError, match=f"{key} is .* left out here; set it to"):
        load_config("", ["MODEL.DEVICE", "cpu", key, value])


def test_dtype_and_device_are_checked(monkeypatch):
    with pytest.raises(InputError, match="DTYPE is 'float8'; it must be one of float32"):
        load_config("", ["DTYPE", "float8"])
    with pytest.raises(InputError, match=r"MODEL.DEVICE is 'gpu'"):
        load_config("", ["MODEL.DEVICE", "gpu"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"finds no GPU in this machine; add MODEL.DEVICE cpu"):
        load_config("", ["MODEL.DEVICE", "cuda"])


def test_plugins_have_their_keys():
    assert any(
        key.startswith("MODEL.ROI_RELATION_HEAD.RELCLIP.")
        for key in dotted_keys(load_config("", ["MODEL.DEVICE", "cpu"]))
    )


def test_a_tool_ends_with_one_sentence_and_status_1(tmp_path):
    program = (
        "from maskrcnn_benchmark.config.load import load_config\n"
        "from maskrcnn_benchmark.utils.cli import run\n"
        "run(lambda: load_config('', ['SOLVER.BASE_L', '1']) and None)\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "error: option SOLVER.BASE_L is not a configuration key; did you mean SOLVER.BASE_LR?"
    )
