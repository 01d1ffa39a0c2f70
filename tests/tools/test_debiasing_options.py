"""Training and testing with wrappers against bias, as their users call them."""

import json

import torch
from small_run import run_tool, write_config
from support import HEAD

NODE, RESAMPLING = HEAD + "DEBIASING.", HEAD + "DATA_RESAMPLING"


def test_wrappers_train_in_two_processes_and_adjust_in_the_test(run_here, tmp_path):
    config = write_config(tmp_path)
    options = [NODE + "GROUP_RATIO", 4.0, NODE + "GROUP_LEAST", 2.0, RESAMPLING, True]
    options += [RESAMPLING + "_PARAM.REPEAT_FACTOR", 0.1, RESAMPLING + "_PARAM.INSTANCE_DROP_RATE", 0.9]
    result = run_tool("relation_train_net", config, "SOLVER.MAX_ITER", 2, *options, processes=2)
    assert result.returncode == 0, result.stderr
    assert "resampling (bilvl)" in result.stdout
    saved = torch.load(tmp_path / "output" / "model_final.pth", weights_only=True)["model"]
    assert any("predicate_loss.classifiers.0.weight" in name for name in saved)

    found = {}
    for strength in (0.0, 9.0):  # the frequency bias of so few images is hard to move
        arguments = ["--config-file", config, NODE + "LOGIT_ADJUSTMENT_TEST", strength]
        status, _, error = run_here("relation_test_net", *arguments)
        assert status == 0, error
        path = next((tmp_path / "output" / "inference").glob("*test/evaluation.json"))
        found[strength] = json.loads(path.read_text())["metrics"]
    assert found[0.0] != found[9.0]
