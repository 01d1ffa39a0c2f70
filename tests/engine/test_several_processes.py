"""A training and its evaluation by two processes are those by one, to rounding; and what happens when one goes away."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import torch
from small_run import NAME, ROOT, write_config
from support import fill
from trained_model import save_tiny_clip

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.modeling.roi_heads.relation_head import relclip  # noqa: F401  (its configuration keys)

# Runs trainings one after the other in one process of several; its arguments are files of configurations.
WORK = """
import argparse, os, sys
from maskrcnn_benchmark.engine.evaluate import run_test
from maskrcnn_benchmark.engine.launch import launched
from maskrcnn_benchmark.engine.recipes import detector_recipe, relation_recipe, train
from maskrcnn_benchmark.utils import cli

def main():
    port = int(os.environ["MASTER_PORT"])
    for place, path in enumerate(sys.argv[1:]):
        os.environ["MASTER_PORT"] = str(port + place)
        args = argparse.Namespace(config_file=path, opts=[], local_rank=0, skip_test=True)
        with launched(args, save=True) as (cfg, distributed, logger):
            recipe = relation_recipe if cfg.MODEL.RELATION_ON else detector_recipe
            run_test(cfg, train(cfg, recipe(cfg), 5, distributed, logger), distributed, logger)

cli.run(main)
"""
# One of two processes comes to a bad end in its third round of communication.
MISHAP = """
import os, signal, sys, time
from maskrcnn_benchmark.engine.watch import joined
from maskrcnn_benchmark.utils import cli, comm

def main():
    with joined("gloo", timeout=float(sys.argv[2])):
        for number in range(10**6):
            if number == 2 and comm.get_rank() == 1:
                {"dies": lambda: os.kill(os.getpid(), signal.SIGKILL), "hangs": lambda: time.sleep(600),
                 "fails": lambda: [][0]}[sys.argv[1]]()
            comm.all_gather(number)
            time.sleep(0.01)

cli.run(main)
"""
MODELS = {
    "motifs": ("sgcls", "MotifPredictor", {}),
    # a tenth of the rate: at the published one rounding grows tenfold every five iterations
    "relclip": ("predcls", "RelCLIPPredictor", {"SOLVER__BASE_LR": 0.0001}),
    "vctree": ("sgcls", "VCTreePredictor", {"SOLVER__MAX_ITER": 4}),
    "collaborative": ("predcls", "MotifPredictor", {
        "MODEL__ROI_RELATION_HEAD__DEBIASING__GROUP_RATIO": 4.0, "SOLVER__MAX_ITER": 4,
    }),
    "detections": ("sgdet", "MotifPredictor", {"SOLVER__MAX_ITER": 4}),
    "detector": ("detector", "MotifPredictor", {"SOLVER__MAX_ITER": 4}),
}  # fmt: skip


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(code: str, processes: int, *arguments) -> list[subprocess.Popen]:
    """The processes of a job, as a cluster's scheduler starts them: nobody stops the others when one ends."""
    job = {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, **job, "OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip


def lines(folder, start=0):
    return [json.loads(line) for line in (folder / "output" / "metrics.json").read_text().splitlines()][start:]


def losses(line):
    return {name: value for name, value in line.items() if name not in ("iteration", "lr", "time", "tau")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{name: {number of processes: folder}} of the same trainings, by one process and by two."""
    root = tmp_path_factory.mktemp("runs")
    clip = save_tiny_clip(root / "clip.pt")
    folders = {name: {n: root / f"{name}-{n}" for n in (1, 2)} for name in MODELS}
    for name, (task, predictor, options) in MODELS.items():
        weights = root / f"{name}.pth"
        for folder in folders[name].values():
            folder.mkdir()
            path = write_config(folder, task, predictor, **{
                "SOLVER__IMS_PER_BATCH": 4, "SOLVER__MAX_ITER": 20, "SOLVER__CHECKPOINT_PERIOD": 10,
                "MODEL__LANGUAGE__NAME": str(clip), "MODEL__LANGUAGE__CACHE_DIR": str(root / "cache"),
                "MODEL__PRETRAINED_DETECTOR_CKPT": str(weights), "MODEL__WEIGHT": str(weights),
                "INPUT__TO_BGR255": False, "INPUT__PIXEL_MEAN": (0.5,) * 3, "INPUT__PIXEL_STD": (0.25,) * 3,
                "DATASETS__TEST": (NAME + "_val",), **options,
            })  # fmt: skip
        # features of a trained detector's size: an untrained one's make losses of hundreds, and rounding errors grow
        state = fill(build_detection_model(load_config(str(path)))).state_dict()
        torch.save({"model": {k: v for k, v in state.items() if "relation" not in k}}, weights)
    jobs = [start(WORK, n, *(folders[name][n] / "config.yaml" for name in MODELS)) for n in (1, 2)]
    for process in (process for job in jobs for process in job):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    return folders


@pytest.mark.parametrize("name", MODELS)
def test_losses_of_two_processes_are_those_of_one(runs, name):
    one, two = (lines(runs[name][processes]) for processes in (1, 2))
    assert len(one) == len(two) == MODELS[name][2].get("SOLVER__MAX_ITER", 20)
    worst = 0.0
    for a, b in zip(one, two, strict=True):
        assert losses(a).keys() == losses(b).keys()
        worst = max(worst, abs(a["loss"] - b["loss"]) / a["loss"])
    print(f"{name}: losses {one[0]['loss']:.3f} to {one[-1]['loss']:.3f}, largest difference {worst:.1e}")
    assert worst < 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_evaluation_by_two_processes_is_that_by_one(runs, name):
    evaluations = [
        json.loads((runs[name][n] / "output/inference" / (NAME + "_val") / "evaluation.json").read_text())
        for n in (1, 2)
    ]
    one, two = (evaluation.pop("metrics") for evaluation in evaluations)
    assert evaluations[0] == evaluations[1]
    assert one.keys() == two.keys() and one
    one, two = ({key: -1.0 if value is None else value for key, value in metrics.items()} for metrics in (one, two))
    assert one == pytest.approx(two, rel=1e-5)


def test_a_run_of_two_processes_goes_on_with_one(runs, tmp_path):
    """From the checkpoint in its middle, and says what it cannot restore."""
    run = shutil.copytree(runs["motifs"][2], tmp_path / "run", symlinks=True)
    output = run / "output"
    for path in (output / "model_final.pth", *output.glob("events*")):
        path.unlink()
    (output / "last_checkpoint").write_text(str(output / "model_0000010.pth"))
    config = run / "config.yaml"
    config.write_text(config.read_text().replace(str(runs["motifs"][2]), str(run)))
    (process,) = start(WORK, 1, config)
    assert process.wait(timeout=200) == 0, process.stderr.read()
    resumed, undisturbed = lines(run), lines(runs["motifs"][1])
    assert [line["iteration"] for line in resumed] == list(range(1, 21))
    for a, b in zip(resumed, undisturbed, strict=True):
        assert losses(a) == pytest.approx(losses(b), rel=1e-5)
    assert "was written by 2 processes, and 1 go on" in (output / "log.txt").read_text()


@pytest.mark.parametrize(
    ("mishap", "timeout", "sentence"),
    [
        ("dies", 600, r"process 1 \(pid \d+ on \S+\) died or was stopped: no sign of life for \d+ seconds"),
        ("fails", 600, r"process 1 \(pid \d+ on \S+\) ended: list index out of range"),
        (
            "hangs",
            3,
            r"process 1 \(pid \d+ on \S+\) hangs: the others have waited for \d+ seconds\. PROCESS_TIMEOUT is 3",
        ),
    ],
)
def test_a_process_that_goes_away_ends_the_others_and_is_named(mishap, timeout, sentence):
    left, gone = start(MISHAP, 2, mishap, timeout)
    try:
        _, errors = left.communicate(timeout=60)
    finally:
        gone.kill()
        gone.communicate()
    assert left.returncode == 1
    assert re.search(r"^error: " + sentence, errors, re.MULTILINE), errors
