"""The demo's steps: commands that exist, keys that the configuration knows, and tags of the report."""

import json
from pathlib import Path

import pytest
from support import config_of

from demo.actions import PREDICATES
from demo.experiments import SHORT, adapter_step, evaluation, relation_step, world_steps, write_tags
from demo.full import TEXTS
from demo.vocabulary import OBJECT_NAMES
from maskrcnn_benchmark.config.load import load_config

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["detector", "relation"])
def test_configurations_fit_the_drawn_vocabulary(name):
    config = load_config(str(ROOT / "configs" / "demo" / f"{name}.yaml"))
    assert len(OBJECT_NAMES) + 1 == config.MODEL.ROI_BOX_HEAD.NUM_CLASSES
    if name == "relation":
        assert len(PREDICATES) + 1 == config.MODEL.ROI_RELATION_HEAD.NUM_CLASSES


def test_every_step_needs_what_others_make_and_runs_a_tool_that_exists(tmp_path):
    steps = [
        *world_steps(tmp_path, 3, {"val": 4, "test": 5}, TEXTS),
        adapter_step(tmp_path, 3, "full", "geometry"),
        *(relation_step(tmp_path, 3, experiment) for experiment in SHORT),
    ]
    names = [step.name for step in steps]
    assert len(set(names)) == len(names) and len({step.result for step in steps}) == len(names)
    for step in steps:
        assert set(step.needs) <= set(names)
        assert Path(step.command[1]).is_file()
        if "--seed" in step.command:
            assert step.command[step.command.index("--seed") + 1] == "3"


@pytest.mark.parametrize("experiment", SHORT, ids=lambda experiment: experiment.name)
def test_options_of_every_experiment_are_keys_of_the_configuration(experiment, tmp_path):
    step = relation_step(tmp_path, 0, experiment)
    config = config_of(step)
    assert step.result == evaluation(Path(config.OUTPUT_DIR))
    assert Path(config.OUTPUT_DIR) == write_tags(tmp_path, 0, experiment)
    head = config.MODEL.ROI_RELATION_HEAD
    assert experiment.predictor == head.PREDICTOR
    had = head.PREDICT_USE_BIAS and head.PHRASE_PRIOR.ON, head.SECOND_OPINION.WEIGHT > 0 or experiment.adapter != ""
    assert had == (experiment.help in ("prior", "both"), experiment.help in ("second opinion", "both"))
    tags = json.loads((Path(config.OUTPUT_DIR) / "run.json").read_text())
    assert tags["model"] == experiment.model and tags["bias"] is experiment.bias


def test_models_of_both_supervisions_are_tested_alike(tmp_path):
    """Same boxes, same zero-shot triplets; the training labels alone differ."""
    configs = [config_of(relation_step(tmp_path, 0, experiment)) for experiment in SHORT]
    assert len({config.TEST.RELATION.ZERO_SHOT_TRIPLETS for config in configs}) == 1
    folders = {config.DATASETS.DATA_DIR for config in configs}
    assert folders == {str(tmp_path / "data"), str(tmp_path / "distant")}
