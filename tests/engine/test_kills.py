"""Training, test, EM and conversion under kill -9 at any moment: started again, they end as undisturbed ones do."""

import json
import random
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from killable import start
from small_run import NAME, assert_same, write_config
from support import PARITY

from maskrcnn_benchmark.utils.last_checkpoint import last_checkpoint_of

KILLS = 4  # of each job


def finish(job, log):
    """Run a job to its end: the seconds that it took."""
    begin = time.perf_counter()
    process = start(*job, log=log)
    process.join(120)
    assert process.exitcode == 0, log.read_text()[-3000:]
    return time.perf_counter() - begin


def finish_under_kills(job, log, seconds, check=lambda: None):
    """The same under kills, the n-th at a random moment of the n-th part of an undisturbed job's time.

    Returns:
        how many there were; less than KILLS where it was faster.
    """
    kills, random_moment = 0, random.Random(str(job[0]))
    for part in range(KILLS):
        process = start(*job, log=log)
        process.join((part + random_moment.random()) / (KILLS + 1) * seconds)
        if process.exitcode is None:
            process.kill()
            kills += 1
        process.join()
        assert process.exitcode in (0, -9), log.read_text()[-3000:]
        check()
    finish(job, log)
    return kills


def twice(tmp_path, job_of, check=lambda folder: None):
    """Do a job undisturbed and under kills: both folders, which must hold files of the same names, and the kills."""
    folders = [tmp_path / name for name in ("whole", "killed")]
    for folder in folders:
        folder.mkdir()
    whole, killed = (job_of(folder) for folder in folders)
    seconds = finish(whole, tmp_path / "log.txt")
    kills = finish_under_kills(killed, tmp_path / "log.txt", seconds, lambda: check(folders[1]))
    left = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in folders]
    without_events = [[name for name in names if "events.out" not in name] for names in left]
    assert without_events[0] == without_events[1]
    return *folders, kills


@pytest.fixture(scope="module", autouse=True)
def all_kills(tmp_path_factory):
    """The moments depend on the machine; that there were enough of them is checked at the end."""
    counts: list[int] = []
    finish(
        ("build_dataset", "--help"), tmp_path_factory.mktemp("start") / "log.txt"
    )  # the server's imports do not count
    yield counts
    assert sum(counts) >= 10, counts


def test_training(tmp_path, all_kills):
    options = {"SOLVER__MAX_ITER": 12, "SOLVER__CHECKPOINT_PERIOD": 2, "SOLVER__TO_VAL": True, "SOLVER__VAL_PERIOD": 5}

    def whole_checkpoint(folder):
        if (folder / "output" / "last_checkpoint").exists():
            torch.load(last_checkpoint_of(str(folder / "output")), weights_only=True)

    whole, killed, kills = twice(
        tmp_path,
        lambda folder: ("relation_train_net", "--config-file", write_config(folder, "sgcls", **options), "--skip-test"),
        whole_checkpoint,
    )
    all_kills.append(kills)
    ends = [torch.load(folder / "output" / "model_final.pth", weights_only=True) for folder in (whole, killed)]
    assert_same(*({**end, "run": None, "settings": None} for end in ends))
    lines = [(folder / "output" / "metrics.json").read_text().splitlines() for folder in (whole, killed)]
    without_times = [[{**json.loads(line), "time": 0} for line in some] for some in lines]
    assert without_times[0] == without_times[1]


def test_test(tmp_path, all_kills):
    trained = tmp_path / "trained"
    trained.mkdir()
    config = write_config(trained, SOLVER__MAX_ITER=1)
    finish(("relation_train_net", "--config-file", config, "--skip-test"), tmp_path / "log.txt")

    def job(folder):
        config = write_config(folder, TEST__SAVE_PROPOSALS=True, TEST__IMS_PER_BATCH=1)
        return ("relation_test_net", "--config-file", config, "MODEL.WEIGHT", trained / "output" / "model_final.pth")

    whole, killed, kills = twice(tmp_path, job)
    all_kills.append(kills)
    for name in ("evaluation.json", "graphs.json", "ranks.npz"):
        paths = [folder / "output" / "inference" / f"{NAME}_test" / name for folder in (whole, killed)]
        one, other = (path.read_bytes().replace(b"killed/datasets", b"whole/datasets") for path in paths)
        assert one == other, name


def test_em(tmp_path, all_kills):
    def job(folder):
        config = write_config(folder, SOLVER__MAX_ITER=4, SOLVER__CHECKPOINT_PERIOD=2)
        options = ("--rounds", 1, "--first", "given", "--skip-test")
        return ("distant_em", "--config-file", config, *options)

    whole, killed, kills = twice(tmp_path, job)
    all_kills.append(kills)
    assert (whole / "output" / "em.json").read_bytes() == (killed / "output" / "em.json").read_bytes()
    for number in (0, 1):
        round_ = Path("output", f"round_{number}")
        same_arrays(*(folder / round_ / "data" / "vg" / "VG-SGG-with-attri.h5" for folder in (whole, killed)))
        ends = [torch.load(folder / round_ / "model" / "model_final.pth") for folder in (whole, killed)]
        assert_same(*(end["model"] for end in ends))


def test_conversion(tmp_path, all_kills):
    one = {
        "objects": [{"name": "man", "box": [2, 3, 30, 40]}, {"name": "hat", "box": [10, 3, 20, 12]}],
        "relations": [{"subject": 0, "predicate": "in", "object": 1}],
    }
    images = PARITY / "vg" / "VG_100K"
    (tmp_path / "graphs.json").write_text(json.dumps({path.name: one for path in images.iterdir()}))

    def job(folder):
        graphs = ("--all", tmp_path / "graphs.json", "--num-test", 2)
        return ("build_dataset", "json", "--images", images, "--output", folder, *graphs)

    def whole_or_absent(folder):
        if (folder / "vg").exists():  # it was faster than the kill
            assert (folder / "vg" / "image_data.json").exists()
            shutil.rmtree(folder / "vg")

    whole, killed, kills = twice(tmp_path, job, whole_or_absent)
    all_kills.append(kills)
    same_arrays(*(folder / "vg" / "VG-SGG-with-attri.h5" for folder in (whole, killed)))
    for name in ("image_data.json", "VG-SGG-dicts-with-attri.json"):
        assert (whole / "vg" / name).read_bytes() == (killed / "vg" / name).read_bytes()


def same_arrays(one, other):
    with h5py.File(one) as a, h5py.File(other) as b:
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key][()], b[key][()])
