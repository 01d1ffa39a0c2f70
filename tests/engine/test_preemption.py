"""A training that is told to end finishes its iteration, saves, and says so; the same command goes on from there."""

import json
import os
import re
import signal
import subprocess
import time

import psutil
import pytest
import torch
from killable import start
from small_run import ROOT, assert_same, command, write_config

from maskrcnn_benchmark.utils import cli
from maskrcnn_benchmark.utils.preemption import Preempted, listening, requested

OPTIONS = {"SOLVER__MAX_ITER": 12, "SOLVER__CHECKPOINT_PERIOD": 100, "SOLVER__VAL_PERIOD": 5, "SOLVER__TO_VAL": True}


def lines(path):
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def train(config, log, *options):
    return start("relation_train_net", "--config-file", config, "--skip-test", *options, log=log)


@pytest.mark.parametrize("during_validation", [False, True])
def test_one_process_and_its_workers(tmp_path, during_validation):
    """The signal goes to the whole group, as clusters send it: workers of the data loader live to the end."""
    configs, log = {}, tmp_path / "log.txt"
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        configs[name] = write_config(tmp_path / name, DATALOADER__NUM_WORKERS=1, **OPTIONS)
    output = tmp_path / "stopped" / "output"
    stopped = train(configs["stopped"], log)
    if during_validation:
        while stopped.is_alive() and not (log.exists() and "Start validating" in log.read_text()):
            time.sleep(0.002)
    else:
        while stopped.is_alive() and len(lines(output / "metrics.json")) < 3:
            time.sleep(0.005)
    os.killpg(stopped.pid, signal.SIGUSR1 if during_validation else signal.SIGTERM)
    stopped.join(60)
    assert stopped.exitcode == 75, log.read_text()[-2000:]
    saved = torch.load(output / (output / "last_checkpoint").read_text(), weights_only=True)
    assert saved["iteration"] == max(line["iteration"] for line in lines(output / "metrics.json")) < 12
    assert f"told to end after iteration {saved['iteration']}, which is saved in" in log.read_text()
    for config in configs.values():
        process = train(config, log)
        process.join(60)
        assert process.exitcode == 0, log.read_text()[-2000:]
    ends = [torch.load(tmp_path / name / "output" / "model_final.pth", weights_only=True) for name in configs]
    assert_same(*({**end, "run": None, "settings": None} for end in ends))
    both = [[{**line, "time": 0} for line in lines(tmp_path / name / "output" / "metrics.json")] for name in configs]
    assert both[0] == both[1]


def test_several_processes_end_together(tmp_path):
    """One of two hears the signal; both end after the same iteration, with the same checkpoint."""
    config = write_config(tmp_path, **{**OPTIONS, "SOLVER__MAX_ITER": 2000, "SOLVER__TO_VAL": False})
    job = subprocess.Popen(
        command("relation_train_net", config, "--skip-test", processes=2),
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    output = tmp_path / "output"
    while job.poll() is None and len(lines(output / "metrics.json")) < 2:
        time.sleep(0.05)
    one, _ = psutil.Process(job.pid).children()
    one.send_signal(signal.SIGTERM)
    said, _ = job.communicate(timeout=120)
    assert job.returncode != 0 and re.findall(r"exitcode\s*: 75", said), said[-2000:]
    iteration = lines(output / "metrics.json")[-1]["iteration"]
    saved = torch.load(output / f"model_{iteration:07d}.pth", weights_only=True)
    assert saved["iteration"] == iteration < 2000 and len(saved["random_states"]) == 2
    assert said.count(f"told to end after iteration {iteration},") == 2


def test_the_exit_status_is_its_own(capsys):
    def main():
        raise Preempted("told to end")

    with pytest.raises(SystemExit) as exit_info:
        cli.run(main)
    assert exit_info.value.code == 75 and capsys.readouterr().err == "told to end\n"


def test_signals_are_noted_while_a_training_listens_and_then_as_before():
    handler = signal.getsignal(signal.SIGTERM)
    with listening():
        assert not requested()
        os.kill(os.getpid(), signal.SIGTERM)
        assert requested()
    assert not requested() and signal.getsignal(signal.SIGTERM) is handler
