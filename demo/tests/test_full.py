"""The full demo's trials, choice and experiments; what each of them trains is tested with the tools."""

import json
from collections import Counter
from dataclasses import replace

import pytest
from support import config_of

from demo import full
from demo.captions import MARGIN
from demo.experiments import evaluation, relation_step


def test_every_model_has_the_same_number_of_trials():
    tried = [full.trials(model, supervision) for model in full.MODELS for supervision in full.SUPERVISIONS]
    assert {len(group) for group in tried} == {4}
    names = [trial.name for group in tried for trial in group]
    assert len(set(names)) == len(names)


def test_the_best_on_validation_images_is_chosen(tmp_path):
    tried = full.trials("Motifs", "full")
    for trial, value in zip(tried, (0.3, 0.5, 0.5, 0.4), strict=True):
        path = evaluation(tmp_path / trial.name, "val")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"metrics": {"R@50": 0.5, "mR@50": value, "zR@50": value, "R@20": 1 - value}}))
    assert full.choose(tmp_path, tried) == tried[1]


@pytest.mark.parametrize("bias", [True, False])
def test_experiments_differ_and_are_what_their_names_say(bias, tmp_path):
    chosen = {(m, s): replace(full.trials(m, s)[-1], bias=bias) for m in full.MODELS for s in full.SUPERVISIONS}
    found = [*chosen.values(), *full.further_experiments(chosen)]
    assert [name for name, count in Counter(e.name for e in found).items() if count > 1] == []
    labels = {(e.model, e.supervision, e.task) for e in found}
    assert {(m, "full", t) for m in ("Motifs", "RelCLIP") for t in ("sgcls", "sgdet")} <= labels
    assert {e.bias for e in found if (e.model, e.supervision) == ("Motifs", "full")} == {True, False}
    assert {e.bias for e in found if (e.model, e.supervision) == ("RelCLIP", "full")} == {True, False}
    configs = {e.name: config_of(relation_step(tmp_path, 0, e)) for e in found}
    for name in full.ABLATIONS:
        assert sum(e.variant == name for e in found) == 1
    heads = {name: config.MODEL.ROI_RELATION_HEAD for name, config in configs.items()}
    node = next(head for name, head in heads.items() if name.endswith("no_rcl")).RELCLIP
    assert (node.USE_RCL, node.USE_ALIGNMENT) == (False, True)
    assert {e.text for e in found if e.model == "RelCLIP"} == set(full.TEXTS)
    tested_again = {e.trained: e.variant for e in found if e.trained}
    assert tested_again == {chosen["RelCLIP", s].name: "no_image_tower" for s in full.SUPERVISIONS}
    for experiment in found:
        weight = configs[experiment.name].MODEL.WEIGHT
        assert weight == (f"{tmp_path}/{experiment.trained}/model_final.pth" if experiment.trained else "")
        head = heads[experiment.name]
        random = experiment.text == "random"
        language = configs[experiment.name].MODEL.LANGUAGE
        assert (head.WORD_EMBEDDING == "random") == random and language.BANK_FILE.endswith(".npz") == random
        if experiment.model == "RelCLIP":
            without = random or experiment.variant == "no_image_tower"
            opinion = head.SECOND_OPINION
            assert (0.0 if without else 1.5) == opinion.WEIGHT
            assert (opinion.FIT, opinion.MARGIN) == ("stretch", MARGIN)  # the CLIPs' pictures


def test_a_run_goes_from_trials_to_the_report(monkeypatch, tmp_path):
    """With steps that only say that they ran, in the order in which they may."""
    ran, lengths, mirrored, written, vctree = [], [], set(), [], []

    def run_steps(steps, inherited):
        vctree.extend(step for step in steps if step.name.startswith("relclip-vctree"))
        for step in steps:
            assert set(step.needs) <= {other.name for other in steps}
            if "relation_train_net.py" in step.command[1]:
                config = config_of(step)
                lengths.append((step.name.startswith("trial"), config.SOLVER.MAX_ITER))
                mirrored.add((config.MODEL.FLIP_AUG, config.DATASETS.DATA_DIR.split("/")[-1]))
            if "trial" in step.name:
                step.result.parent.mkdir(parents=True, exist_ok=True)
                value = 0.9 if "nobias" in step.name or "images" in step.name else 0.1
                step.result.write_text(json.dumps({"metrics": dict.fromkeys(full.CRITERIA, value)}))
        ran.append([step.name for step in steps])

    def write_report(runs, output, data_per_seed, title, reference):
        assert data_per_seed is True
        written.append(runs)
        return []

    monkeypatch.setattr(full, "run_steps", run_steps)
    monkeypatch.setattr(full, "read_run", lambda folder: folder)
    monkeypatch.setattr(full, "write_report", write_report)
    full.run_full(tmp_path, range(2, 4), 0)
    trials, main, further = ran
    assert sum("trial" in name for name in trials) == 4 * 2 * len(full.MODELS)
    assert not any("trial" in name for name in main + further)
    assert all(name.endswith((" 2", " 3")) for name in main + further)
    assert set(lengths) == {(True, full.TRIAL_LENGTH[1]), (False, full.LENGTH[1]), (False, full.TASK_LENGTH[1])}
    assert mirrored == {(True, "data"), (False, "distant")}
    after_models, at_the_end = written
    assert len(after_models) == 2 * 2 * (len(full.MODELS) + 1) == sum("-predcls" in name for name in main)
    assert {config_of(step).MODEL.ROI_RELATION_HEAD.RELCLIP.CONTEXT for step in vctree} == {"vctree"}
    assert at_the_end[: len(after_models)] == after_models
    assert len(at_the_end) == len(set(at_the_end)) > len(after_models)
    assert (tmp_path / "seed-2" / "trials" / "data").readlink().as_posix() == "../data"
    chosen = json.loads((tmp_path / "chosen.json").read_text())
    assert len(chosen) == 2 * (len(full.MODELS) + 1)
    assert all(name.endswith("images1") if "RelCLIP" in key else "nobias" in name for key, name in chosen.items())
