"""One model under many settings in one pass, against a test of each setting by itself."""

import json

import numpy as np
import pytest
from small_run import NAME, write_config
from support import HEAD
from trained_model import save_tiny_clip

from maskrcnn_benchmark.modeling.roi_heads.relation_head import pair_search

OPINION, ADJUSTMENT = HEAD + "SECOND_OPINION.", HEAD + "DEBIASING.LOGIT_ADJUSTMENT_TEST"
SETTINGS = {
    "plain": [],
    "adjusted": [ADJUSTMENT, 0.7],
    "opinion": [OPINION + "WEIGHT", 0.6],
    "both, other crops": [OPINION + "WEIGHT", 2, OPINION + "PAIRS", 5, OPINION + "MARGIN", 0.3, ADJUSTMENT, 0.7],
    "few pairs": [OPINION + "WEIGHT", 2.0, OPINION + "PAIRS", 9, ADJUSTMENT, -0.4],
}


def read(folder):
    found = {path.name: path for path in folder.iterdir()}
    ranks = np.load(found["ranks.npz"])
    tables = {name: ranks[name].tolist() for name in ranks.files}
    text = {name: json.loads(found[name].read_text()) for name in ("evaluation.json", "graphs.json")}
    return sorted(found), text["evaluation.json"], tables, found["config.yml"].read_text(), text["graphs.json"]


@pytest.mark.parametrize("task", ["predcls", "sgdet"])
def test_settings_together_give_what_each_gives_alone(run_here, tmp_path, monkeypatch, task):
    # in SGDet the search for the first triplets stops early, where a model is tested by itself
    monkeypatch.setattr(pair_search, "LOOK_PAIRS", 60)
    options = {HEAD.replace(".", "__") + "PREDICT_USE_BIAS": False, "MODEL__ROI_HEADS__DETECTIONS_PER_IMG": 20}
    config = write_config(tmp_path, task, **options)
    language = ["MODEL.LANGUAGE.NAME", save_tiny_clip(tmp_path / "clip.pt"), "MODEL.LANGUAGE.CACHE_DIR", tmp_path]
    run = ["--config-file", config]
    status, _, error = run_here("relation_train_net", *run, "--skip-test", *language, "SOLVER.MAX_ITER", 2)
    assert status == 0, error
    output = tmp_path / "output"
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    together = ["--settings", tmp_path / "settings.json", *run, *language, "DATASETS.TO_TEST", "val"]
    status, _, error = run_here("relation_test_settings", *together)
    assert status == 0, error

    scores = []
    for name, changed in SETTINGS.items():
        alone = [*run, *language, "DATASETS.TO_TEST", "val", *changed]
        status, _, error = run_here("relation_test_net", *alone)
        assert status == 0, error
        expected = read(output / "inference" / f"{NAME}_val")
        found = read(output / name / "inference" / f"{NAME}_val")
        assert found[0] == [file for file in expected[0] if file != "cost.json"]
        assert found[1:] == expected[1:]
        scores.append([graph["prediction"]["relations"] for graph in expected[-1]])
    assert all(scores[0] != other for other in scores[1:])
