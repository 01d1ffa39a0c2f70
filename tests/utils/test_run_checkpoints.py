"""Which checkpoint a run goes on from, and which a test reads: `last_checkpoint`, other runs, changed settings."""

import json
import logging
import shutil

import h5py
import pytest
import torch
from support import PARITY, parity_config
from tiny_run import PLATEAU, tiny, train

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.last_checkpoint import last_checkpoint_of


@pytest.fixture(autouse=True)
def logged(caplog):
    caplog.set_level(logging.INFO, logger="maskrcnn_benchmark")


def start_from(weights, folder, **extra):
    """A checkpointer whose configuration begins with these weights."""
    options = [item for pair in {"MODEL.PRETRAINED_DETECTOR_CKPT": str(weights), **extra}.items() for item in pair]
    return tiny(folder, parity_config(extra=[*PLATEAU, *options]))


@pytest.fixture
def detectors(tmp_path):
    """Two files of weights, all ones and all twos."""
    paths = []
    for value in (1.0, 2.0):
        model = tiny(tmp_path / "any").model
        state = {name: torch.full_like(tensor, value) for name, tensor in model.state_dict().items()}
        paths.append(tmp_path / f"detector{int(value)}.pth")
        torch.save({"model": state}, paths[-1])
    return paths


def first_weight(checkpointer):
    return checkpointer.model["backbone"].weight[0, 0].item()


def test_an_explicit_path_wins_over_last_checkpoint(tmp_path, detectors, caplog):
    tiny(tmp_path / "out").save("model", iteration=3)
    checkpointer = tiny(tmp_path / "out")
    checkpointer.load(str(detectors[1]))
    assert first_weight(checkpointer) == 2.0
    assert f"loading checkpoint from {detectors[1]}" in caplog.text


def test_the_same_run_goes_on_and_another_is_refused(tmp_path, detectors, caplog):
    one, two = detectors
    run = start_from(one, tmp_path / "out")
    assert run.resume_or_load(str(one)) == {}
    assert first_weight(run) == 1.0
    train(run, 0, 2)
    trained = first_weight(run)
    run.save("model_0000002", iteration=2)

    again = start_from(one, tmp_path / "out")
    assert again.resume_or_load(str(one)) == {"iteration": 2}
    assert first_weight(again) == trained
    assert f"loading checkpoint from {tmp_path / 'out' / 'model_0000002.pth'}" in caplog.text

    without_naming = start_from("", tmp_path / "out")
    assert without_naming.resume_or_load("") == {"iteration": 2}

    (tmp_path / "elsewhere").mkdir()
    moved = one.rename(tmp_path / "elsewhere" / one.name)
    assert start_from(moved, tmp_path / "out").resume_or_load(str(moved)) == {"iteration": 2}

    other = start_from(two, tmp_path / "out")
    for ask in (other.has_checkpoint, lambda: other.resume_or_load(str(two))):
        with pytest.raises(InputError, match=f"MODEL.PRETRAINED_DETECTOR_CKPT is {two} now and was {one}.*start-anew"):
            ask()


@pytest.mark.parametrize(
    "change",
    [
        {"MODEL.ROI_RELATION_HEAD.PREDICTOR": "VCTreePredictor"},
        {"MODEL.ROI_RELATION_HEAD.USE_GT_OBJECT_LABEL": False},
        {"MODEL.RELATION_ON": False},
        {"MODEL.ROI_RELATION_HEAD.CONTEXT_DROPOUT_RATE": 0.7},
        {"DATASETS.TRAIN": ("VG_stanford_filtered_with_attribute_val",)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_training_set_or_model_setting_is_another_run(tmp_path, change):
    start_from("", tmp_path).save("model", iteration=1)
    assert start_from("", tmp_path).has_checkpoint()
    with pytest.raises(InputError, match=f"is of another run .*{next(iter(change))} is "):
        start_from("", tmp_path, **change).resume_or_load()


@pytest.fixture
def data(tmp_path):
    """Files of a training set in a folder of its own, and the options that name them."""
    folder = tmp_path / "data" / "vg"
    folder.mkdir(parents=True)
    for name in ("VG-SGG-with-attri.h5", "VG-SGG-dicts-with-attri.json"):
        shutil.copy(PARITY / "vg" / name, folder)
    train = {"DATASETS.TRAIN": ("VG_stanford_filtered_with_attribute_train",)}
    return folder, {"DATASETS.DATA_DIR": str(folder.parent), **train}


def test_data_may_move_but_not_change(tmp_path, data):
    folder, options = data
    start_from("", tmp_path / "out", **options).save("model", iteration=1)
    folder.parent.rename(tmp_path / "moved")
    folder, options["DATASETS.DATA_DIR"] = tmp_path / "moved" / "vg", str(tmp_path / "moved")
    assert start_from("", tmp_path / "out", **options).has_checkpoint()

    dictionary = folder / "VG-SGG-dicts-with-attri.json"
    before = dictionary.read_text()
    names = json.loads(before)
    for kind in ("label", "predicate"):
        first, second = names[f"idx_to_{kind}"]["1"], names[f"idx_to_{kind}"]["2"]
        names[f"idx_to_{kind}"].update({"1": second, "2": first})
        names[f"{kind}_to_idx"].update({first: 2, second: 1})
    dictionary.write_text(json.dumps(names))
    with pytest.raises(InputError, match=r"the classes of \S+_train is '\w+' at 1 now and was '\w+' there; the predic"):
        start_from("", tmp_path / "out", **options).has_checkpoint()
    dictionary.write_text(before)
    with h5py.File(folder / "VG-SGG-with-attri.h5", "r+") as h5:
        h5["labels"][0] += 1
    with pytest.raises(InputError, match=r"the labels of \S+_train are others"):
        start_from("", tmp_path / "out", **options).has_checkpoint()


def test_changed_solver_settings_are_used_and_named(tmp_path):
    solver = "SOLVER."
    before = {"BASE_LR": 0.01, "STEPS": (6,), "GAMMA": 0.1, "WEIGHT_DECAY": 0.0, "MOMENTUM": 0.9, "WARMUP_ITERS": 2}
    after = {"BASE_LR": 0.001, "STEPS": (3,), "GAMMA": 0.5, "WEIGHT_DECAY": 0.1, "MOMENTUM": 0.5, "WARMUP_ITERS": 1}
    schedule = {solver + "SCHEDULE.TYPE": "WarmupMultiStepLR"}
    run = start_from("", tmp_path, **schedule, **{solver + key: value for key, value in before.items()})
    train(run, 0, 4)
    run.save("model_0000004", iteration=4)
    buffers = [state["momentum_buffer"].clone() for state in run.optimizer.state.values()]

    again = start_from("", tmp_path, **schedule, **{solver + key: value for key, value in after.items()})
    factor = again.scheduler.base_lrs[0] / 0.001
    again.resume_or_load()
    weights, biases = again.optimizer.param_groups[:2]
    assert (weights["lr"], weights["weight_decay"], weights["momentum"]) == (0.001 * factor * 0.5, 0.1, 0.5)
    assert biases["weight_decay"] == 0.0
    for state, buffer in zip(again.optimizer.state.values(), buffers, strict=True):
        assert torch.equal(state["momentum_buffer"], buffer)
    assert sorted(said.split(" is ")[0] for said in again.changed) == sorted(solver + key for key in after)
    assert "SOLVER.BASE_LR is 0.001 now and was 0.01" in again.changed
    # config.yml stays that of the weights beside it until there are others
    assert load_config(str(tmp_path / "config.yml")).SOLVER.BASE_LR == 0.01
    again.save("model_0000005", iteration=5)
    assert load_config(str(tmp_path / "config.yml")).SOLVER.BASE_LR == 0.001


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", b"nowhere.pth", b"/", None], ids=str)
def test_a_damaged_last_checkpoint_is_no_fresh_start(tmp_path, content):
    tiny(tmp_path).save("model_0000001", iteration=1)
    record = tmp_path / "last_checkpoint"
    record.unlink()
    if content is None:
        record.mkdir()
    else:
        record.write_bytes(content)
    for ask in (
        tiny(tmp_path).resume_or_load,
        tiny(tmp_path).has_checkpoint,
        lambda: last_checkpoint_of(str(tmp_path)),
    ):
        with pytest.raises(
            InputError, match=r"last_checkpoint .*write the name of the checkpoint to go on from into it"
        ):
            ask()


def test_a_kill_between_the_first_checkpoint_and_its_name_loses_nothing(tmp_path):
    run = tiny(tmp_path)
    run.save("model_0000002", iteration=2)
    run.save("model_0000010", iteration=10)
    (tmp_path / "last_checkpoint").unlink()
    assert tiny(tmp_path).resume_or_load()["iteration"] == 10


@pytest.mark.parametrize("place", ["weights", "optimizer"])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, place):
    run = tiny(tmp_path)
    train(run, 0, 2)
    run.save("model_0000002", iteration=2)
    backbone = run.model["backbone"]
    spoilt = backbone.weight.data if place == "weights" else run.optimizer.state[backbone.weight]["momentum_buffer"]
    spoilt[0, 0] = float("nan")
    for writes in (True, False):
        run.save_to_disk = writes
        with pytest.raises(InputError, match=r"backbone.weight is not finite .* model_0000004 is not saved"):
            run.save("model_0000004", iteration=4)
    assert tiny(tmp_path).resume_or_load()["iteration"] == 2


def test_a_run_of_sgb_goes_on_and_its_detector_does_not(tmp_path, detectors):
    run = tiny(tmp_path)
    data = {
        "model": {f"module.{k}": v for k, v in run.model.state_dict().items()},
        "optimizer": run.optimizer.state_dict(),
        "iteration": 9,
    }
    torch.save(data, tmp_path / "model.pth")
    run.tag_last_checkpoint("/theirs/model.pth")
    assert tiny(tmp_path).resume_or_load(str(detectors[0])) == {"iteration": 9}
    # SGB saves no state of the plateau schedule: at least the iteration goes on
    resumed = tiny(tmp_path)
    resumed.resume_or_load()
    assert resumed.scheduler.last_epoch == 9

    data["model"] = {name: value for name, value in data["model"].items() if "relation" not in name}
    torch.save(data, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"is of another run \(it has no roi_heads.relation\)"):
        tiny(tmp_path).resume_or_load(str(detectors[0]))


def test_a_test_reads_what_was_trained_not_the_backbone_it_began_with(tmp_path, caplog):
    trained = tiny(tmp_path)
    trained.save("model_final", iteration=3)
    tester = DetectronCheckpointer(trained.cfg, tiny(tmp_path).model, save_dir=str(tmp_path))
    assert tester.has_checkpoint()
    assert tester.load("catalog://ImageNetPretrained/FAIR/20171220/X-101-32x8d") == {"iteration": 3}
    assert "is where training began" in caplog.text


def test_nothing_to_load(tmp_path, caplog):
    assert tiny(tmp_path).load() == {}
    assert tiny(tmp_path).resume_or_load() == {}
    assert caplog.text.count("starts from scratch") == 2
