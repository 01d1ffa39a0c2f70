"""Trainings so small that tests run them whole: the reference data set and a configuration of seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from support import HEAD, PARITY, flat, parity_config

ROOT = Path(__file__).parents[1]
NAME = "VG_stanford_filtered_with_attribute"
TINY = {
    "INPUT.MIN_SIZE_TRAIN": (64,),
    "INPUT.MAX_SIZE_TRAIN": 100,
    "INPUT.MIN_SIZE_TEST": 64,
    "INPUT.MAX_SIZE_TEST": 100,
    "DATASETS.TRAIN": (NAME + "_train",),
    "DATASETS.VAL": (NAME + "_val",),
    "DATASETS.TEST": (NAME + "_test",),
    "DATASETS.NUM_VAL_IM": 10,
    "DATALOADER.NUM_WORKERS": 0,
    "MODEL.RPN.PRE_NMS_TOP_N_TRAIN": 100,
    "MODEL.RPN.POST_NMS_TOP_N_TRAIN": 30,
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TRAIN": 30,
    "MODEL.RPN.FPN_POST_NMS_PER_BATCH": False,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 32,
    "MODEL.ROI_HEADS.SCORE_THRESH": 0.0,
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": 8,
    HEAD + "BATCH_SIZE_PER_IMAGE": 32,
    HEAD + "WORD_EMBEDDING": "random",
    # something random in the forward pass, so that its generator must be restored too
    HEAD + "CONTEXT_DROPOUT_RATE": 0.2,
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.BASE_LR": 0.001,
    "SOLVER.MAX_ITER": 4,
    "SOLVER.WARMUP_ITERS": 3,
    "SOLVER.STEPS": (3,),
    "SOLVER.CHECKPOINT_PERIOD": 2,
    "SOLVER.VAL_PERIOD": 2,
    "SOLVER.PRE_VAL": False,
    "SOLVER.TO_VAL": False,
    "TEST.IMS_PER_BATCH": 4,
}


def write_config(folder: Path, task: str = "predcls", predictor: str = "MotifPredictor", **options) -> Path:
    """`config.yaml` in `folder` for the reference data set, whose files it finds in `folder`/datasets.

    Args:
        task: predcls, sgcls, sgdet, or detector.
        options: further keys, dots written as two underscores.
    """
    data = folder / "datasets"
    data.mkdir(exist_ok=True)
    if not (data / "vg").exists():
        (data / "vg").symlink_to(PARITY / "vg")
    detector = task == "detector"
    config = parity_config("sgdet" if detector else task, predictor)
    given = {name.replace("__", "."): value for name, value in options.items()}
    places = {"DATASETS.DATA_DIR": str(data), "OUTPUT_DIR": str(folder / "output")}
    extra = {"MODEL.RELATION_ON": False, "MODEL.ROI_HEADS.NMS_FILTER_DUPLICATES": False} if detector else {}
    config.merge_from_list(flat(TINY | extra | places | given))
    path = folder / "config.yaml"
    path.write_text(config.dump())
    return path


def command(tool: str, config: Path, *opts, processes: int = 1) -> list[str]:
    """The command line of a tool; with several processes through torchrun."""
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [*start, str(ROOT / "tools" / f"{tool}.py"), "--config-file", str(config), *map(str, opts)]


def run_tool(tool: str, config: Path, *opts, processes: int = 1, timeout: float = 300) -> subprocess.CompletedProcess:
    """Run a tool to its end in a process of its own."""
    return subprocess.run(
        command(tool, config, *opts, processes=processes),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def assert_same(a, b, where=""):
    """Nested containers of tensors and numbers, equal to the last bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for place, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}/{place}")
    else:
        assert a == b, where
