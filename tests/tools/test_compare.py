"""compare.py as its users call it: on directories of real trainings, and with wrong input."""

import json

from run_folders import write_run
from small_run import write_config


def test_two_trained_models(run_here, tmp_path):
    """SGDet, so that predicted boxes are not the annotated ones."""
    folders = []
    for predictor in ("MotifPredictor", "IMPPredictor"):
        (tmp_path / predictor).mkdir()
        config = write_config(tmp_path / predictor, "sgdet", predictor, SOLVER__MAX_ITER=2)
        status, _, error = run_here("relation_train_net", "--config-file", config, "--seed", 3)
        assert status == 0, error
        folders.append(tmp_path / predictor / "output")
    status, out, error = run_here("compare", *folders, "--output", tmp_path / "report")
    assert status == 0, error
    assert "| Motifs | full | yes | random | 1 |" in out and "## SGDet" in out
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    for entry, folder in zip(report["runs"], folders, strict=True):
        evaluation = json.loads(next(folder.glob("inference/*/evaluation.json")).read_text())
        assert entry["metrics"]["mR"]["50"] == evaluation["metrics"]["mR@50"]
        assert entry["seed"] == 3 and entry["params"] > 0 and entry["step_ms"] > 0 and entry["inference_ms"] > 0
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('<section class="sg') == 18 and page.count("data:image/svg+xml") == 2

    # the same annotations under another protocol must not stand beside the first
    status, _, error = run_here(
        "relation_test_net", "--config-file", tmp_path / "IMPPredictor" / "config.yaml",
        "TEST.RELATION.PROTOCOL", "visualds",
    )  # fmt: skip
    assert status == 0, error
    status, _, error = run_here("compare", *folders, "--output", tmp_path / "other")
    assert status == 1 and "by the protocols sgb and visualds" in error.splitlines()[-1]
    assert not (tmp_path / "other").exists()


def test_wrong_folders_are_one_sentence(run_here, tmp_path):
    status, _, error = run_here("compare", tmp_path / "nowhere", "--output", tmp_path / "out")
    assert status == 1 and error.startswith("error: ") and "nowhere does not exist" in error
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=1, test_set="zzzz")]
    status, _, error = run_here("compare", *runs, "--output", tmp_path / "out")
    assert status == 1 and len(error.splitlines()) == 1 and "--data-per-seed" in error
    status, out, _ = run_here("compare", *runs, "--output", tmp_path / "out", "--data-per-seed", "--title", "Mine")
    assert status == 0 and "2 test sets, one per seed" in out
    assert (tmp_path / "out" / "report.md").read_text().startswith("# Mine\n")
