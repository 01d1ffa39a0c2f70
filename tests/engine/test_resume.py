"""A training that is killed and started again ends exactly as one that is not."""

import json
import os
import signal
import subprocess
import time

import torch
from small_run import ROOT, assert_same, command, run_tool, write_config

ITERATIONS, PERIOD = 14, 4
OPTIONS = {
    "SOLVER__MAX_ITER": ITERATIONS,
    "SOLVER__CHECKPOINT_PERIOD": PERIOD,
    "SOLVER__VAL_PERIOD": 3,
    "SOLVER__TO_VAL": True,
    "SOLVER__PRE_VAL": True,
    "SOLVER__SCHEDULE__TYPE": "WarmupReduceLROnPlateau",
    "SOLVER__SCHEDULE__PATIENCE": 1,
    "SOLVER__SCHEDULE__MAX_DECAY_STEP": 20,
    "DTYPE": "bfloat16",
}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def without_times(path):
    return [{k: v for k, v in line.items() if k != "time"} for line in lines(path)]


def start(config, *opts):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command("relation_train_net", config, "--skip-test", "--seed", "5", *opts),
        env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_killed_and_resumed_is_bit_identical_to_undisturbed(tmp_path):
    folders = {name: tmp_path / name for name in ("whole", "killed")}
    for folder in folders.values():
        folder.mkdir()
    configs = {name: write_config(folder, "sgcls", **OPTIONS) for name, folder in folders.items()}
    outputs = {name: folder / "output" for name, folder in folders.items()}

    whole = start(configs["whole"])
    # the other run reads its data in another process: batches do not depend on that
    workers = ("DATALOADER.NUM_WORKERS", 1)
    killed = start(configs["killed"], *workers)
    metrics = outputs["killed"] / "metrics.json"
    while killed.poll() is None and sum("loss" in line for line in lines_so_far(metrics)) < PERIOD + 3:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL, killed.stderr.read()
    assert len(lines_so_far(metrics)) > PERIOD
    with open(metrics, "a") as stream:
        stream.write('{"iteration": 9, "lo')  # a line that the kill cut short
    unfinished = outputs["killed"] / f".model_0000008.{killed.pid}.0123abcd.pth"  # and a checkpoint
    unfinished.write_bytes(b"half")

    resumed = run_tool("relation_train_net", configs["killed"], "--skip-test", "--seed", "99", *workers)
    assert resumed.returncode == 0, resumed.stderr
    assert "resumed after iteration" in resumed.stdout and "goes on with its own seed 5, not 99" in resumed.stdout
    assert whole.wait(timeout=120) == 0, whole.stderr.read()

    assert not unfinished.exists()
    final = {name: torch.load(output / "model_final.pth", weights_only=True) for name, output in outputs.items()}
    assert_same(final["whole"], final["killed"])
    assert final["whole"]["iteration"] == ITERATIONS and final["whole"]["scheduler"]["stage_count"] > 0
    assert without_times(outputs["whole"] / "metrics.json") == without_times(metrics)
    iterations = [line["iteration"] for line in lines(metrics) if "loss" in line]
    assert iterations == list(range(1, ITERATIONS + 1))


def lines_so_far(path):
    """The whole lines of a file that is being written."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
