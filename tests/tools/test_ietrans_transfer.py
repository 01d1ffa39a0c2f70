"""IETrans's tool on a model that was trained for seconds."""

import h5py
import numpy as np
from small_run import write_config
from support import HEAD, open_vg

from maskrcnn_benchmark.distant.labels import read_arrays


def test_a_trained_model_transfers_labels_of_training_images_alone(run_here, tmp_path):
    config = write_config(tmp_path)
    status, _, error = run_here("relation_train_net", "--config-file", config, "--skip-test", "SOLVER.MAX_ITER", 2)
    assert status == 0, error
    source = tmp_path / "datasets" / "vg" / "VG-SGG-with-attri.h5"
    target = tmp_path / "transferred" / "vg" / source.name
    arguments = ["--config-file", config, "--output", target, "--link", "--head", 3]
    status, out, error = run_here("ietrans_transfer", *arguments)
    assert status == 0, error
    before, after = read_arrays(source), read_arrays(target)
    assert "most changed:" in out and f"written to {target}" in out
    assert "predicate_weights" not in after and len(after["predicates"]) > len(before["predicates"])
    for split in ("val", "test"):
        old, new = (open_vg(path.parent, split, num_val_im=10) for path in (source, target))
        assert len(old) == len(new)
        assert all(np.array_equal(a, b) for a, b in zip(old.relationships, new.relationships, strict=True))
    training = open_vg(target.parent, "train", num_val_im=10)
    assert len(training) == len(open_vg(source.parent, "train", num_val_im=10))
    with h5py.File(source) as old, h5py.File(target) as new:
        assert set(new) == set(old)

    status, _, error = run_here("ietrans_transfer", *arguments[:-2], "--internal", 2)
    assert status == 1 and "--internal is 2.0; it is a share" in error
    status, _, error = run_here("ietrans_transfer", *arguments, HEAD + "USE_GT_BOX", False)
    assert status == 1 and "take a model of PredCls" in error and "Traceback" not in error
