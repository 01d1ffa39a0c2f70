"""A vocabulary is calibrated on training images, and the API finds the calibration."""

import json

import numpy as np
import pytest
from small_run import write_config
from support import HEAD, PARITY

from maskrcnn_benchmark.api import SceneGraphModel
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.engine.calibrate_vocabulary import _look
from maskrcnn_benchmark.engine.run_state import seed_everything
from maskrcnn_benchmark.engine.scene_predictor import for_task, load_trained, locate
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank


def pairs_have_their_own_predicates(trained):
    """In whatever order the relation head asks for them."""
    seed_everything(0)
    seen = _look(for_task(trained, "predcls"), trained, 3)
    seed_everything(0)  # the same draws of pairs with several predicates
    targets = [one for _, some, _ in make_data_loader(trained.cfg, "test", dataset_to_test="train")[0] for one in some][
        :3
    ]
    first = [0, len(targets[0]), len(targets[0]) + len(targets[1])]
    relations = [target.get_field("relation") for target in targets]
    assert len(seen.truth) == sum(len(target) * (len(target) - 1) for target in targets) and seen.truth.any()
    for image, ends, truth in zip(seen.image.tolist(), seen.pairs.ends.tolist(), seen.truth.tolist(), strict=True):
        assert relations[image][ends[0] - first[image], ends[1] - first[image]] == truth


def test_calibrate(run_here, tmp_path):
    classes, predicates, _ = load_info(PARITY / "vg" / "VG-SGG-dicts-with-attri.json")
    rng = np.random.default_rng(0)
    names = [*predicates[1:], "repairing"]
    count = len(classes) - 1
    arrays = {"sp": rng.normal(size=(count, len(names), 8)), "po": rng.normal(size=(len(names), count, 8))}
    PhraseBank(classes[1:], names, {}, arrays).save(str(tmp_path / "bank.npz"))
    options = {"MODEL__LANGUAGE__BANK_FILE": str(tmp_path / "bank.npz"), "SOLVER__MAX_ITER": 1}
    options[HEAD.replace(".", "__") + "RELCLIP__PROJECTION_DIM"] = 8
    config = write_config(tmp_path, "sgdet", "RelCLIPPredictor", **options)
    assert run_here("relation_train_net", "--config-file", config, "--skip-test")[0] == 0
    status, out, error = run_here("calibrate_vocabulary", "--steps", 5, tmp_path / "output")
    assert status == 0 and "slope" in out, error
    written = json.loads((tmp_path / "output" / "vocabulary.json").read_text())
    assert np.isfinite([written["slope"], written["offset"]]).all()
    model = SceneGraphModel.from_pretrained(tmp_path / "output", device="cpu")
    model.set_vocabulary(predicates=["repairing", predicates[1]])
    relclip = model._trained.model.roi_heads["relation"].predictor.relclip
    assert relclip.chosen.calibration.slope == pytest.approx(written["slope"])
    pairs_have_their_own_predicates(load_trained(*locate(tmp_path / "output"), opts=["TEST.IMS_PER_BATCH", 1]))
    motifs = write_config(tmp_path, "sgdet", SOLVER__MAX_ITER=1, OUTPUT_DIR=str(tmp_path / "motifs"))
    assert run_here("relation_train_net", "--config-file", motifs, "--skip-test")[0] == 0
    status, _, error = run_here("calibrate_vocabulary", tmp_path / "motifs")
    assert status == 1 and "only a RelCLIP model" in error
