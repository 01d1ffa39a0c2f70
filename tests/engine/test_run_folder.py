"""OUTPUT_DIR belongs to one training at a time, and to one run until that is set aside."""

import json
import time

import pytest
import torch
from killable import start
from small_run import write_config

from maskrcnn_benchmark.engine.run_state import set_aside


def run(config, log, *options):
    process = start("relation_train_net", "--config-file", config, "--skip-test", *options, log=log)
    process.join(60)
    return process.exitcode, log.read_text()


def test_a_second_training_is_refused_and_told_of_the_first(tmp_path):
    config, log = write_config(tmp_path, SOLVER__MAX_ITER=5000), tmp_path / "first.txt"
    first = start("relation_train_net", "--config-file", config, "--skip-test", log=log)
    metrics = tmp_path / "output" / "metrics.json"
    while first.is_alive() and not (metrics.exists() and metrics.read_text()):
        time.sleep(0.01)
    status, said = run(config, tmp_path / "second.txt")
    assert status == 1 and said.count("\n") <= 3 and "Traceback" not in said
    assert f"error: OUTPUT_DIR {tmp_path / 'output'} is in use by process {first.pid} on " in said
    first.kill()
    first.join()
    status, said = run(config, tmp_path / "third.txt", "SOLVER.MAX_ITER", 1)
    assert status == 0, said


def test_another_run_is_refused_until_the_old_one_is_set_aside(tmp_path):
    config = write_config(tmp_path, SOLVER__MAX_ITER=2)
    output = tmp_path / "output"
    assert run(config, tmp_path / "one.txt")[0] == 0
    before = {path.name: path.read_bytes() for path in output.iterdir() if path.is_file() and path.name != "log.txt"}
    other = write_config(tmp_path, predictor="IMPPredictor", SOLVER__MAX_ITER=1)
    status, said = run(other, tmp_path / "two.txt")
    assert status == 1 and "PREDICTOR is IMPPredictor now and was MotifPredictor" in said
    assert {name: (output / name).read_bytes() for name in before} == before  # config.yml and metrics among them
    status, said = run(other, tmp_path / "three.txt", "--start-anew")
    assert status == 0, said
    del before[".lock"]
    assert all((output / "earlier_1" / name).read_bytes() == content for name, content in before.items())
    assert torch.load(output / "model_final.pth", weights_only=True)["iteration"] == 1
    assert [json.loads(line)["iteration"] for line in (output / "metrics.json").read_text().splitlines()] == [1]


def test_only_what_is_of_a_run_is_set_aside(tmp_path):
    set_aside(str(tmp_path))
    assert not list(tmp_path.iterdir())
    for number in (1, 2):
        for name in ("model_final.pth", "last_checkpoint", "config.yml", "run.json", "notes.txt"):
            (tmp_path / name).write_text(str(number))
        (tmp_path / "inference").mkdir()
        set_aside(str(tmp_path))
        kept = sorted(path.name for path in (tmp_path / f"earlier_{number}").iterdir())
        assert kept == ["config.yml", "inference", "last_checkpoint", "model_final.pth"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["earlier_1", "earlier_2", "notes.txt", "run.json"]


@pytest.mark.parametrize("settings", [(), ("SOLVER.BASE_LR", "0.0001")])
def test_a_complete_run_keeps_its_configuration(tmp_path, settings):
    config = write_config(tmp_path, SOLVER__MAX_ITER=1)
    assert run(config, tmp_path / "one.txt")[0] == 0
    before = (tmp_path / "output" / "config.yml").read_bytes()
    status, said = run(config, tmp_path / "two.txt", *settings)
    assert status == 0 and "the run is complete: 1 iterations" in said
    assert ("not used, for the run is complete: SOLVER.BASE_LR is 0.0001 now and was 0.001" in said) == bool(settings)
    assert (tmp_path / "output" / "config.yml").read_bytes() == before
