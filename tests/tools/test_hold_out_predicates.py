"""A predicate is taken out of training, and a model that scores predicates by their phrases is tested on it."""

import json
import logging
import subprocess
import sys

import h5py
import numpy as np
import pytest
from small_run import NAME, ROOT, run_tool, write_config
from support import HEAD, PARITY

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.datasets.vg_format import load_info
from maskrcnn_benchmark.engine.evaluate import load_trained_model, run_test
from maskrcnn_benchmark.modeling.language.phrase_bank import PhraseBank

RELCLIP = HEAD + "RELCLIP."
H5 = PARITY / "vg" / "VG-SGG-with-attri.h5"
OBJECTS, PREDICATES, _ = load_info(PARITY / "vg" / "VG-SGG-dicts-with-attri.json")


def hold_out(output, *names, status=0):
    tool = [sys.executable, str(ROOT / "tools" / "hold_out_predicates.py"), "--h5", str(H5), "--num-val-im", "10"]
    done = subprocess.run(
        [*tool, "--predicates", ",".join(names), "--output", str(output), "--link"], capture_output=True, text=True
    )
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def predicates_of(path, split):
    with h5py.File(path) as file:
        first, last, splits = (file[name][:] for name in ("img_to_first_rel", "img_to_last_rel", "split"))
        spans = [(a, b) for a, b, s in zip(first, last, splits, strict=True) if s == split and a >= 0]
        rows = [file["predicates"][a : b + 1, 0] for a, b in spans]
    return np.concatenate(rows)


@pytest.fixture
def held_out():
    """The predicate that test images have most often."""
    return PREDICATES[np.bincount(predicates_of(H5, 2)).argmax()]


def test_training_images_lose_a_predicate_and_test_images_keep_it(tmp_path, held_out):
    path = tmp_path / "vg" / H5.name
    path.parent.mkdir()
    number = PREDICATES.index(held_out)
    out = hold_out(path, held_out)
    left, before = predicates_of(path, 0), predicates_of(H5, 0)
    gone = int(out.split(f"{held_out}: ")[1].split()[0])
    assert gone > 0 and len(before) - len(left) == gone
    # what is left of it belongs to the 10 images that serve for validation
    assert (left == number).sum() == (before == number).sum() - gone
    assert np.array_equal(predicates_of(path, 2), predicates_of(H5, 2))
    assert (path.parent / "VG_100K").is_symlink()


def test_an_unknown_predicate_is_named(tmp_path):
    assert "has no levitating; it has " in hold_out(tmp_path / "x.h5", "levitating", status=1)


def write_bank(path, dim=8):
    rng = np.random.default_rng(0)
    o, r = rng.normal(size=(len(OBJECTS) - 1, dim)), rng.normal(size=(len(PREDICATES) - 1, dim))
    arrays = {"sp": o[:, None] + r[None], "po": r[:, None] + o[None]}
    PhraseBank(OBJECTS[1:], PREDICATES[1:], {}, arrays).save(str(path))


def test_it_is_found_by_its_phrases(tmp_path, held_out):
    """Trained without it and tested, by the command lines of docs/method.md."""
    write_bank(tmp_path / "bank.npz")
    config = write_config(
        tmp_path, "predcls", "RelCLIPPredictor", **{
            "MODEL.LANGUAGE.BANK_FILE".replace(".", "__"): str(tmp_path / "bank.npz"),
            (RELCLIP + "PROJECTION_DIM").replace(".", "__"): 8,
            (RELCLIP + "USE_BASE").replace(".", "__"): False,
            (HEAD + "PREDICT_USE_BIAS").replace(".", "__"): False,
            "DATASETS__DATA_DIR": str(tmp_path / "heldout"),
            "SOLVER__MAX_ITER": 2,
        }
    )  # fmt: skip
    (tmp_path / "heldout" / "vg").mkdir(parents=True)
    hold_out(tmp_path / "heldout" / "vg" / H5.name, held_out)
    done = run_tool("relation_train_net", config, "--skip-test")
    assert done.returncode == 0, done.stderr

    def recalls(*names) -> dict:
        """What tools/relation_test_net.py does, in this process."""
        opts = [RELCLIP + "TEST_PREDICATES", str(names)]
        cfg, logger = load_config(str(config), opts), logging.getLogger("maskrcnn_benchmark")
        run_test(cfg, load_trained_model(cfg, opts, logger), False, logger)
        return json.loads((tmp_path / "output" / "inference" / f"{NAME}_test" / "evaluation.json").read_text())

    everything = recalls()
    assert everything["training_frequency"][held_out] == 0
    assert recalls(*reversed(PREDICATES[1:]))["metrics"] == everything["metrics"]
    other = next(name for name in PREDICATES[1:] if name != held_out)
    only = recalls(other, held_out)["recall_by_predicate"]["ng-mR@100"]
    assert only[held_out] > everything["recall_by_predicate"]["ng-mR@100"][held_out]
    assert not any(recall for name, recall in only.items() if name not in (held_out, other))
    done = run_tool("relation_test_net", config, RELCLIP + "TEST_PREDICATES", "('levitating',)")
    assert done.returncode == 1 and "'levitating'" in done.stderr.splitlines()[-1], done.stderr
