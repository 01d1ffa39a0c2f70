"""What is read from an output directory, what a run is called, and what is said of one that is damaged."""

import json

import pytest
from run_folders import DATASET, write_run
from support import HEAD

from maskrcnn_benchmark.report import read_run
from maskrcnn_benchmark.report.runs import read_curves
from maskrcnn_benchmark.utils.errors import InputError


def test_everything_of_a_run(tmp_path):
    run = read_run(write_run(tmp_path / "run", recall=0.5, seed=3))
    assert (run.model, run.supervision, run.task, run.seed) == ("Motifs", "full", "predcls", 3)
    assert run.metrics["R"] == {"20": 0.5, "50": 0.6, "100": 0.7}
    assert run.metrics["zR_new_pair"] == run.metrics["ngmR"] == run.metrics["R"]
    assert (run.step_ms, run.inference_ms, run.params, run.device) == (200.0, 250.0, 1_000_000, "cpu")
    assert run.curves == {
        "loss": [(1, 2.0), (2, 1.0), (3, 2.0 / 3)],
        "loss_rel": [(1, 1.0), (2, 0.5), (3, 1.0 / 3)],
        "validation": [(3, 0.4)],
    }
    schema = {"model", "supervision", "task", "seed", "bias", "text", "metrics", "step_ms", "params"}
    assert (
        schema <= run.entry(tmp_path).keys()
        and {"R", "mR", "zR", "ngR", "ngmR"} <= run.entry(tmp_path)["metrics"].keys()
    )
    json.dumps(run.entry(tmp_path))


def test_a_test_without_training(tmp_path):
    run = read_run(write_run(tmp_path / "run", seed=None))
    assert run.metrics["R"]["20"] == 0.5 and run.params == 1_000_000
    assert (run.seed, run.step_ms, run.curves) == (None, None, {})


def test_seed_of_the_last_checkpoint(tmp_path):
    folder = write_run(tmp_path / "run", seed=5)
    (folder / "model_final.pth").rename(folder / "model_0000002.pth")
    (folder / "last_checkpoint").write_text("/where/it/was/trained/model_0000002.pth")
    assert read_run(folder).seed == 5


RELCLIP = HEAD + "RELCLIP."
NAMES = {
    "vctree": ("VCTreePredictor", {}, {"model": "VCTree", "bias": True, "text": "glove"}),
    "impp": ("IMPPredictor", {HEAD + "PREDICT_USE_BIAS": False}, {"model": "IMP", "bias": False}),
    "effect": (
        "CausalAnalysisPredictor",
        {HEAD + "CAUSAL.CONTEXT_LAYER": "vctree", HEAD + "CAUSAL.EFFECT_TYPE": "TDE"},
        {"model": "VCTree-TDE"},
    ),
    "relclip": (
        "RelCLIPPredictor",
        {RELCLIP + "CONTEXT": "vctree", HEAD + "WORD_EMBEDDING": "random"},
        {"model": "RelCLIP-VCTree", "text": "ViT-B/32"},
    ),
    "own encoder": (
        "MotifPredictor",
        {HEAD + "WORD_EMBEDDING": "clip", "MODEL.LANGUAGE.NAME": "output/clip/small.pt"},
        {"model": "Motifs", "text": "small"},
    ),
    "own predictor": ("NearestPredictor", {}, {"model": "Nearest"}),
    "distant labels": ("MotifPredictor", {"DATASETS.DATA_DIR": "output/distant_1"}, {"supervision": "distant"}),
}


@pytest.mark.parametrize("what", NAMES)
def test_tags_follow_from_the_configuration(what, tmp_path):
    predictor, options, expected = NAMES[what]
    run = read_run(write_run(tmp_path / "run", predictor=predictor, options=options))
    assert {name: getattr(run, name) for name in expected} == expected


def test_tags_of_ones_own_win(tmp_path):
    tags = {"model": "Ours", "supervision": "distant", "seed": 7, "bias": False, "text": "none"}
    run = read_run(write_run(tmp_path / "run", tags=tags))
    assert {name: getattr(run, name) for name in tags} == tags


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"name": "x"}', "has the tag 'name'"),
        ('{"seed": "1"}', "seed: expected a whole number"),
        ('{"seed": true}', "seed: expected a whole number"),
        ("[]", "expected an object, got a list"),
        ("{", "is cut short or no json"),
    ],
)
def test_wrong_tags(content, message, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "run.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_run(folder)


def test_the_solver_is_that_of_the_training_and_the_model_that_of_the_test(tmp_path):
    folder = write_run(tmp_path / "run", options={"SOLVER.BASE_LR": 0.5})
    trained = (folder / "config.yml").read_text()
    tested = folder / "inference" / DATASET / "config.yml"
    tested.write_text(trained.replace("BASE_LR: 0.5", "BASE_LR: 0.1").replace("USE_BIAS: true", "USE_BIAS: false"))
    run = read_run(folder)
    assert run.config["SOLVER.BASE_LR"] == 0.5 and run.bias is False
    assert run.differences == {HEAD + "PREDICT_USE_BIAS": (True, False)}


def test_which_data_set_counts(tmp_path):
    folder = write_run(tmp_path / "run")
    other = folder / "inference" / "VG_val"
    other.mkdir()
    for path in (folder / "inference" / DATASET).iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="VG_stanford_filtered_with_attribute_test, VG_val: say which"):
        read_run(folder)
    assert read_run(folder, "VG_val").dataset == "VG_val"
    with pytest.raises(InputError, match="no results on VG_train"):
        read_run(folder, "VG_train")


def test_a_line_that_was_cut_short_does_not_count(tmp_path):
    path = tmp_path / "metrics.json"
    assert read_curves(path) == {}
    path.write_text('{"iteration": 1, "loss": 2.0}\n{"iteration": 2, "lo')
    assert read_curves(path) == {"loss": [(1, 2.0)]}
    path.write_text('{"iteration": 1, "lo\n{"iteration": 2, "loss": 1.0}\n')
    with pytest.raises(InputError, match=r"metrics.json, line 1 is cut short or no json"):
        read_curves(path)


def test_what_cannot_be_compared_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty has no inference"):
        read_run(tmp_path / "empty")
    folder = write_run(tmp_path / "run")
    results = folder / "inference" / DATASET
    evaluation = json.loads((results / "evaluation.json").read_text())
    (results / "evaluation.json").write_text(json.dumps(evaluation | {"task": "detection"}))
    with pytest.raises(InputError, match="is of a detector"):
        read_run(folder)
    del evaluation["test_set"]
    (results / "evaluation.json").write_text(json.dumps(evaluation))
    with pytest.raises(InputError, match=r"missing required field test_set; .* test the model again"):
        read_run(folder)
    (results / "evaluation.json").write_text("{")
    with pytest.raises(InputError, match=r"evaluation.json is cut short or no json"):
        read_run(folder)


def test_a_damaged_configuration(tmp_path):
    folder = write_run(tmp_path / "run")
    path = folder / "inference" / DATASET / "config.yml"
    for content, message in (("a: [", "is not valid YAML"), ("just words", "must hold keys and values")):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            read_run(folder)
    path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        read_run(folder)
