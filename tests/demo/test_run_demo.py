"""The demo's steps, and how it is resumed and kept apart from other runs."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
import torch

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.demo.actions import PREDICATES
from maskrcnn_benchmark.demo.vocabulary import OBJECT_NAMES
from maskrcnn_benchmark.utils.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("run_demo", ROOT / "tools" / "run_demo.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["run_demo"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def make_step(demo, folder, name, code):
    result = folder / f"{name}.out"
    return demo.Step(name, (sys.executable, "-c", code.format(result=result)), result, folder / f"{name}.log")


def test_the_demo_needs_no_more_than_two_cores_and_trains_on_what_was_made_before(demo, tmp_path):
    rows = demo.demo_steps(tmp_path, 3)
    assert max(map(len, rows)) == 2
    made: set[str] = set()
    for row in rows:
        for step in row:
            assert Path(step.command[1]).is_file()
            assert "3" in step.command[step.command.index("--seed") + 1]
        made |= {str(step.result) for step in row}
    assert len(made) == sum(map(len, rows))


@pytest.mark.parametrize("name", ["detector", "relation"])
def test_configurations_fit_the_drawn_vocabulary(name):
    config = load_config(str(ROOT / "configs" / "demo" / f"{name}.yaml"))
    assert len(OBJECT_NAMES) + 1 == config.MODEL.ROI_BOX_HEAD.NUM_CLASSES
    if name == "relation":
        assert len(PREDICATES) + 1 == config.MODEL.ROI_RELATION_HEAD.NUM_CLASSES


def test_options_of_every_model_are_keys_of_the_configuration(demo, tmp_path):
    for step in demo.demo_steps(tmp_path, 0)[-1]:
        start = step.command.index("--config-file")
        options = list(step.command[start + 2 :])
        del options[options.index("--seed") : options.index("--seed") + 2]
        assert load_config(step.command[start + 1], options).OUTPUT_DIR.startswith(str(tmp_path))


def test_steps_that_are_done_are_not_done_again(demo, tmp_path, capfd):
    step = make_step(demo, tmp_path, "one", "open(r'{result}', 'a').write('x')")
    with demo.claimed(tmp_path, 0) as inherited:
        demo.run_row([step], inherited)
        demo.run_row([step], inherited)
    assert step.result.read_text() == "x"
    assert "done already" in capfd.readouterr().out


def test_a_step_that_fails_shows_its_last_lines(demo, tmp_path, capfd):
    step = make_step(demo, tmp_path, "bad", "print('what went wrong'); raise SystemExit(3)")
    with demo.claimed(tmp_path, 0) as inherited, pytest.raises(InputError, match=r"bad failed \(exit status 3\)"):
        demo.run_row([step], inherited)
    assert "what went wrong" in capfd.readouterr().err


def test_a_folder_is_for_one_run_and_one_seed(demo, tmp_path):
    with demo.claimed(tmp_path, 0), pytest.raises(InputError, match="another run"), demo.claimed(tmp_path, 0):
        pass
    with pytest.raises(InputError, match="--seed 0"), demo.claimed(tmp_path, 1):
        pass
    with demo.claimed(tmp_path, 0):
        pass


def test_a_step_that_outlives_its_run_keeps_the_folder(demo, tmp_path):
    with demo.claimed(tmp_path, 0) as inherited:
        kept = os.dup(inherited)  # what a step that was left behind holds open
    with pytest.raises(InputError, match="left behind"), demo.claimed(tmp_path, 0):
        pass
    os.close(kept)
    with demo.claimed(tmp_path, 0):
        pass


def test_the_report_has_every_metric(demo, tmp_path):
    model = demo.MODELS[0]
    evaluation = demo._evaluation(tmp_path)
    evaluation.parent.mkdir(parents=True)
    names = [f"{name}@{k}" for name in demo.METRICS.values() for k in (20, 50, 100)]
    evaluation.write_text(json.dumps({"metrics": dict.fromkeys(names, 0.25)}))
    (tmp_path / "metrics.json").write_text('{"iteration": 1, "time": 0.5}\n{"iteration": 1, "validation": 0.1}\n')
    weights = {"roi_heads.relation.predictor.a": torch.zeros(3, 4), "backbone.b": torch.zeros(7)}
    torch.save({"model": weights}, tmp_path / "model_final.pth")
    entry = demo.report_run(model, tmp_path, 2)
    assert set(entry) == {
        "model", "supervision", "task", "seed", "bias", "text", "metrics", "step_ms", "params",
    }  # fmt: skip
    assert entry["metrics"]["mR"] == {"20": 0.25, "50": 0.25, "100": 0.25}
    assert (entry["seed"], entry["step_ms"], entry["params"]) == (2, 500.0, 12)
    assert "| Motifs | full | predcls | 25.0 |" in demo.table([entry])
