"""The full demo's trials, choices and rows; what each of them trains is tested with the tools."""

import json
from collections import Counter

import pytest
from support import config_of

from demo import full
from demo.captions import MARGIN
from demo.experiments import Experiment, evaluation, relation_step
from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.engine.many_settings import make_settings

MODELS = {**full.MAIN, **full.VCTREE, **full.OTHERS}


def all_trials():
    return {
        (model, labels, given): full.trials(MODELS, model, labels, given)
        for model, (_, tried, _) in MODELS.items()
        for labels in full.SUPERVISIONS
        for given in tried
    }


def write_result(folder, values, split="val"):
    path = evaluation(folder, split)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"metrics": dict(zip(full.CRITERIA, values, strict=True))}))


def test_every_model_has_the_same_number_of_trials_with_each_help():
    tried = all_trials()
    assert {len(group) for group in tried.values()} == {2}
    names = [trial.name for group in tried.values() for trial in group]
    assert len(set(names)) == len(names)
    with_prior = {model for model, _, given in tried if given == "prior"}
    assert with_prior == set(MODELS) - {"IMP", "PE-Net"}  # which have no bias for it


def test_rows_are_what_their_tags_say(tmp_path):
    for (model, labels, given), group in all_trials().items():
        for trial in group:
            config = config_of(relation_step(tmp_path, 0, trial))
            head = config.MODEL.ROI_RELATION_HEAD
            assert MODELS[model][0] == head.PREDICTOR and head.SECOND_OPINION.WEIGHT == 0
            assert (head.PHRASE_PRIOR.ON and head.PREDICT_USE_BIAS) == (given == "prior") == (trial.help == "prior")
            assert (config.MODEL.FLIP_AUG, labels) in ((True, "full"), (False, "distant"))
            assert (head.RELCLIP.CONTEXT == "vctree") == (model == "RelCLIP-VCTree")


def test_the_parts_of_relclip_differ_in_nothing_else(tmp_path):
    relclip = full.trials(full.MAIN, "RelCLIP", "distant", "nothing")[1]
    nodes = {}
    for part in full.parts_of(relclip):
        config = config_of(relation_step(tmp_path, 0, part))
        nodes[part.part] = config.MODEL.ROI_RELATION_HEAD.RELCLIP
        assert config.SOLVER.BASE_LR == 0.003 and not config.MODEL.ROI_RELATION_HEAD.PREDICT_USE_BIAS
        assert (part.text == "random") == config.MODEL.LANGUAGE.BANK_FILE.endswith(".npz")
    assert (nodes["alignment alone"].USE_RCL, nodes["alignment alone"].USE_ALIGNMENT) == (False, True)
    assert (nodes["RCL alone"].USE_RCL, nodes["RCL alone"].USE_ALIGNMENT) == (True, False)
    assert nodes["text-free control"].TARGETS == "learnt"
    names = [part.name for part in full.parts_of(relclip)]
    assert len(set(names)) == len(names) == len(full.PARTS)


@pytest.mark.parametrize(
    "model, supervision, joined",
    [("Motifs", "full", 5), ("Motifs", "distant", 3), ("VCTree", "full", 2), ("RelCLIP", "full", 0)],
)
def test_settings_are_those_that_a_test_takes(model, supervision, joined, tmp_path):
    """The same weights for everything that is joined, and none for the model as it is."""
    experiment = full.trials(MODELS, model, supervision, "nothing")[0]
    asked = full.test_settings(tmp_path, experiment)
    config = load_config("configs/demo/relation.yaml", ["MODEL.ROI_RELATION_HEAD.RELCLIP.VISION", "clip"])
    made = {setting.name: setting.cfg for setting in make_settings(full._options(asked), config)}
    groups = Counter(json.dumps(tags, sort_keys=True) for tags, _ in asked.values())
    assert sorted(groups.values()) == [1, *[len(full.WEIGHTS)] * (1 + joined)]
    assert made["as-it-is"].MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT == 0
    assert made["opinion-3.0"].MODEL.ROI_RELATION_HEAD.SECOND_OPINION.WEIGHT == 3
    assert made["opinion-3.0"].MODEL.ROI_RELATION_HEAD.SECOND_OPINION.MARGIN == MARGIN  # the CLIPs' pictures
    curve = make_settings(full._options(full.curve(asked)), config)
    assert len(curve) == (1 + len(full.WEIGHTS)) * len(full.STRENGTHS)  # as it is, and with the second opinion


def test_the_best_on_all_seeds_validation_images_is_chosen(tmp_path):
    folders = [tmp_path / "0", tmp_path / "1"]
    experiment = Experiment("RelCLIP", "RelCLIPPredictor", help="prior")
    asked = full.test_settings(tmp_path, experiment)
    for place, folder in enumerate(folders):
        for name in asked:
            write_result(folder / name, (0.5, 0.5, 0.5))
        write_result(folder / "opinion-3.0", (0.5, 0.8, 0.6) if place == 0 else (0.5, 0.5, 0.2))
        write_result(folder / "opinion-2.0", (0.5, 0.6, 0.5))
    assert full.choose_settings(folders, asked) == ["as-it-is", "opinion-2.0"]
    assert full.choose(folders[:1], list(asked)) == "opinion-3.0"


def test_a_run_goes_from_trials_to_the_report(monkeypatch, tmp_path):
    """With steps that only say that they ran, in the order in which they may."""
    ran, written = [], []

    def run_steps(steps, inherited):
        names = [step.name for step in steps]
        assert len(set(names)) == len(names)
        for step in steps:
            assert set(step.needs) <= set(names), step.name
            step.result.parent.mkdir(parents=True, exist_ok=True)
            if "relation_test_settings.py" in step.command[1]:
                folder = step.result.parents[2].parent
                split = step.command[step.command.index("--split") + 1]
                for name in json.loads((folder / f"settings-{split}.json").read_text()):
                    write_result(folder / name, (0.5, 0.5, 0.9 if name.endswith("1.0") else 0.1), split)
            elif step.result == evaluation(step.result.parents[2], "val"):  # a trial
                write_result(step.result.parents[2], (0.5, 0.5, 0.9 if "nobias" in step.name else 0.1))
        ran.append(names)

    def write_report(runs, output, data_per_seed, title, references, baseline):
        assert data_per_seed is True and (references, baseline) == (full.REFERENCES, "Motifs")
        written.append(runs)
        return []

    monkeypatch.setattr(full, "run_steps", run_steps)

    def read_run(folder, dataset):
        assert evaluation(folder).parent.name == dataset  # there are results on validation images, too
        return json.loads((folder / "run.json").read_text())

    monkeypatch.setattr(full, "read_run", read_run)
    monkeypatch.setattr(full, "write_report", write_report)
    full.run_full(tmp_path, 7, 0)
    main, with_vctree, everything = written
    assert everything[: len(with_vctree)] == with_vctree and with_vctree[: len(main)] == main
    rows = Counter(
        (run["model"], run.get("part", ""), run["supervision"], run["help"]) for run in everything if "curve" not in run
    )
    assert {count for (model, *_), count in rows.items() if model in full.OTHERS} == {full.FEWER_SEEDS}
    assert {count for (model, *_), count in rows.items() if model not in full.OTHERS} == {full.SEEDS}
    others = ("VCTree", "RelCLIP-VCTree", "Transformer", "GPS-Net", "BGNN", "SQUAT")
    assert {labels for model, _, labels, _ in rows if model not in full.MAIN} == {"full"}
    for labels in full.SUPERVISIONS:
        for model in ("Motifs", "RelCLIP", *(others if labels == "full" else ())):
            assert {given for m, part, s, given in rows if (m, part, s) == (model, "", labels)} == {
                "nothing", "prior", "second opinion", "both"
            }  # fmt: skip
        for part, *_, where in full.JOINED.values():
            for base, model in (("Motifs", "RelCLIP"), ("VCTree", "RelCLIP-VCTree")):
                asked = {"second opinion", "both"} if (base, labels) in where else set()
                assert {g for m, p, s, g in rows if (m, p, s) == (model, part, labels)} == asked
        assert {p for m, p, s, g in rows if (m, s, g) == ("RelCLIP", labels, "nothing")} == {"", *full.PARTS}
    chosen = json.loads((tmp_path / "chosen.json").read_text())
    joined = [f"{name}-1.0" for name in full.JOINED]
    assert chosen["motifs-full-predcls-nobias-lr0.003"] == ["as-it-is", "opinion-1.0", *joined]
