"""Saving and loading training states: SGB's files, resuming, other runs, damage."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import OrderedDict

import h5py
import pytest
import torch
from support import PARITY, fill, parity_config, vg_dataset
from torch import nn

from maskrcnn_benchmark.config.load import load_config
from maskrcnn_benchmark.data.collate_batch import BatchCollator
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.solver import WarmupReduceLROnPlateau, make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.utils.checkpoint import (
    Checkpointer,
    DetectronCheckpointer,
    clip_grad_norm,
    last_checkpoint_of,
)
from maskrcnn_benchmark.utils.errors import InputError

log = logging.getLogger("maskrcnn_benchmark")
PLATEAU = ["SOLVER.SCHEDULE.TYPE", "WarmupReduceLROnPlateau", "SOLVER.WARMUP_ITERS", 3]


@pytest.fixture(autouse=True)
def logged(caplog):
    caplog.set_level(logging.INFO, logger="maskrcnn_benchmark")


# -- checkpoints of SGB ------------------------------------------------------------------------------------------------
def predict(model, config):
    dataset = vg_dataset("test", filter_empty_rels=True, transforms=build_transforms(config, False))
    images, targets, _ = BatchCollator(32)([dataset[0]])
    with torch.no_grad():
        return model.eval()(images, targets)[0]


def write_as_sgb(path, model, config, iteration=4000):
    """A relation checkpoint as SGB writes it: wrapped names, optimizer, a scheduler that holds its logger."""
    optimizer = make_optimizer(config, model, log)
    for parameter in model.parameters():
        if parameter.requires_grad:
            optimizer.state[parameter]["momentum_buffer"] = torch.full_like(parameter, 0.5)
    scheduler = make_lr_scheduler(config, optimizer, log)
    state = {key: value for key, value in vars(scheduler).items() if key != "optimizer"}
    state.update(stage_count=2, last_epoch=iteration, logger=logging.getLogger("sgb"))
    torch.save(
        {
            "model": OrderedDict((f"module.{name}", value) for name, value in model.state_dict().items()),
            "optimizer": optimizer.state_dict(),
            "scheduler": state,
            "iteration": iteration,
        },
        path,
    )


def test_a_relation_checkpoint_of_sgb_gives_the_same_predictions(tmp_path, parity_statistics, caplog):
    config = parity_config("predcls", extra=PLATEAU)
    theirs = fill(build_detection_model(config))
    write_as_sgb(tmp_path / "model_0004000.pth", theirs, config)
    expected = predict(theirs, config)

    ours = fill(build_detection_model(config), salt="others")
    optimizer = make_optimizer(config, ours, log)
    scheduler = make_lr_scheduler(config, optimizer, log)
    checkpointer = DetectronCheckpointer(config, ours, optimizer, scheduler)
    rest = checkpointer.load(str(tmp_path / "model_0004000.pth"))
    assert rest == {"iteration": 4000}
    assert checkpointer.report.complete and not checkpointer.report.unused
    assert f"{len(ours.state_dict())} tensors matched, 0 of the model are missing" in caplog.text
    assert (scheduler.stage_count, scheduler.last_epoch, scheduler.logger) == (2, 4000, log)
    assert all((state["momentum_buffer"] == 0.5).all() for state in optimizer.state.values())

    found = predict(ours, config)
    assert torch.equal(found.bbox, expected.bbox)
    for name in ("pred_labels", "pred_rel_scores", "rel_pair_idxs"):
        assert torch.equal(found.get_field(name), expected.get_field(name)), name


def test_a_detector_of_sgb_starts_a_relation_model(tmp_path, parity_statistics):
    relation = "MODEL.ROI_RELATION_HEAD."
    same_width = [relation + "CONTEXT_POOLING_DIM", 48]
    detector = fill(build_detection_model(parity_config(extra=["MODEL.RELATION_ON", False])))
    torch.save({"model": {f"module.{k}": v for k, v in detector.state_dict().items()}}, tmp_path / "model_final.pth")
    config = parity_config(extra=same_width)
    model = fill(build_detection_model(config), salt="others")
    mapping = {
        "roi_heads.relation.box_feature_extractor": "roi_heads.box.feature_extractor",
        "roi_heads.relation.union_feature_extractor.feature_extractor": "roi_heads.box.feature_extractor",
    }
    checkpointer = DetectronCheckpointer(config, model)
    checkpointer.load(str(tmp_path / "model_final.pth"), with_optim=False, load_mapping=mapping)
    state = model.state_dict()
    source = detector.state_dict()
    assert all(torch.equal(state[name], value) for name, value in source.items())
    for part in mapping:
        assert torch.equal(state[f"{part}.fc7.weight"], source["roi_heads.box.feature_extractor.fc7.weight"])
    assert all("roi_heads.relation" in name for name in checkpointer.report.missing)
    with pytest.raises(InputError, match=r"no tensor of .*model_final\.pth fits the model's roi_heads\.relation"):
        checkpointer.load(str(tmp_path / "model_final.pth"))


# -- saving and going on -----------------------------------------------------------------------------------------------
def tiny(folder, config=None, width=3):
    """A checkpointer of a small model with optimizer and scheduler."""
    torch.manual_seed(0)
    config = config or parity_config(extra=PLATEAU)
    parts = {"backbone": nn.Linear(2, width), "roi_heads": nn.ModuleDict({"relation": nn.Linear(width, 2)})}
    model = nn.ModuleDict(parts)
    optimizer = make_optimizer(config, model, log)
    scheduler = make_lr_scheduler(config, optimizer, log)
    return DetectronCheckpointer(config, model, optimizer, scheduler, str(folder), save_to_disk=True)


def train(checkpointer, start, stop):
    model, optimizer = checkpointer.model, checkpointer.optimizer
    for iteration in range(start + 1, stop + 1):
        x = torch.rand(4, 2, generator=torch.Generator().manual_seed(iteration))
        optimizer.zero_grad()
        model["roi_heads"]["relation"](model["backbone"](x)).square().sum().backward()
        optimizer.step()
        if isinstance(checkpointer.scheduler, WarmupReduceLROnPlateau):
            checkpointer.scheduler.step(1.0 / iteration if iteration % 2 == 0 else None, epoch=iteration)
        else:
            checkpointer.scheduler.step()


@pytest.mark.parametrize("kind", ["WarmupReduceLROnPlateau", "WarmupMultiStepLR"])
def test_resumed_equals_undisturbed(tmp_path, kind):
    config = parity_config(extra=[*PLATEAU, "SOLVER.SCHEDULE.TYPE", kind, "SOLVER.STEPS", (6, 9)])
    whole = tiny(tmp_path / "whole", config)
    train(whole, 0, 12)

    first = tiny(tmp_path / "resumed", config)
    train(first, 0, 7)
    first.save("model_0000007", iteration=7, obj_classes=["__background__", "cat"])
    second = tiny(tmp_path / "resumed", config)
    rest = second.resume_or_load()
    assert rest == {"iteration": 7, "obj_classes": ["__background__", "cat"]}
    train(second, 7, 12)
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_wrapped_models_are_saved_without_the_wrapper(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model = nn.Linear(2, 2)
        Checkpointer(nn.parallel.DistributedDataParallel(model), save_dir=str(tmp_path), save_to_disk=True).save("a")
    finally:
        torch.distributed.destroy_process_group()
    assert list(torch.load(tmp_path / "a.pth", weights_only=True)["model"]) == ["weight", "bias"]


def test_only_the_process_that_writes_saves(tmp_path):
    for arguments in ({"save_dir": str(tmp_path)}, {"save_to_disk": True}):
        Checkpointer(nn.Linear(1, 1), **arguments).save("a")
    assert not list(tmp_path.iterdir())


def test_a_kill_while_saving_leaves_the_last_checkpoint(tmp_path):
    program = """
import os, signal, sys, torch
from maskrcnn_benchmark.utils import checkpoint

model = torch.nn.Linear(2, 2)
checkpointer = checkpoint.Checkpointer(model, save_dir=sys.argv[1], save_to_disk=True)
checkpointer.save("model", iteration=1)
save = torch.save
def cut(data, path):
    save(data, path)
    with open(path, "r+b") as stream:
        stream.truncate(100)
    os.kill(os.getpid(), signal.SIGKILL)
torch.save = cut
checkpointer.save("model", iteration=2)
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    assert Checkpointer(nn.Linear(2, 2), save_dir=str(tmp_path)).load() == {"iteration": 1}


def test_a_folder_that_was_moved_and_a_folder_as_path(tmp_path):
    checkpointer = tiny(tmp_path / "old")
    checkpointer.save("model_final", iteration=5)
    (tmp_path / "old").rename(tmp_path / "new")
    assert tiny(tmp_path / "new").load()["iteration"] == 5
    assert tiny(tmp_path / "elsewhere").load(str(tmp_path / "new"))["iteration"] == 5
    with pytest.raises(InputError, match=r"has no last_checkpoint; give the path of a .pth file"):
        tiny(tmp_path / "elsewhere").load(str(tmp_path))
    (tmp_path / "new" / "model_final.pth").unlink()
    with pytest.raises(InputError, match=r"last_checkpoint names .*model_final\.pth', which does not exist"):
        tiny(tmp_path / "new").load()


def test_the_schedule_may_be_configured_anew(tmp_path):
    checkpointer = tiny(tmp_path)
    train(checkpointer, 0, 4)
    checkpointer.save("model", iteration=4)
    config = parity_config(extra=[*PLATEAU, "SOLVER.BASE_LR", 7.0])
    updated = tiny(tmp_path, config)
    updated.load(update_schedule=True)
    assert updated.scheduler.last_epoch == 4
    assert updated.optimizer.param_groups[0]["lr"] == 7.0


# -- which file is read --------------------------------------------------------------------------------------------
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


# -- files that do not fit -----------------------------------------------------------------------------------------
def test_resuming_needs_every_tensor(tmp_path):
    tiny(tmp_path).save("model", iteration=1)
    with pytest.raises(
        InputError, match=r"fits the model's backbone: other shape: backbone.bias \[4\] \(file: \[3\]\)"
    ):
        tiny(tmp_path, width=4).load()
    data = torch.load(tmp_path / "model.pth", weights_only=True)
    del data["model"]["backbone.bias"]
    torch.save(data, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"model\.pth does not fit the model.*; missing: backbone\.bias;"):
        tiny(tmp_path).load()


def test_an_optimizer_of_other_parameters(tmp_path):
    run = tiny(tmp_path)
    run.model["backbone"].requires_grad_(False)
    fewer = make_optimizer(run.cfg, run.model, log)
    run.save("model", iteration=1)
    data = torch.load(tmp_path / "model.pth", weights_only=True)
    torch.save({**data, "optimizer": fewer.state_dict()}, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"the optimizer state in .* does not fit the parameters to train"):
        tiny(tmp_path).load()

    state = data["optimizer"]
    state["state"] = {i: {"momentum_buffer": torch.zeros(7)} for i in range(4)}
    torch.save({**data, "optimizer": state}, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"momentum_buffer of shape \[7\] for a parameter of shape \[3, 2\]"):
        tiny(tmp_path).load()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds no dictionary of a checkpoint but a list"),
        ({"model": 3}, "has no state dict under the name 'model'"),
        ({"model": {"other": torch.zeros(1)}}, "the first name in the file is other, in the model backbone.weight"),
    ],
)
def test_files_of_something_else(tmp_path, content, message):
    torch.save(content, tmp_path / "some.pth")
    with pytest.raises(InputError, match=message):
        tiny(tmp_path).load(str(tmp_path / "some.pth"))


def test_a_checkpoint_that_is_cut_short(tmp_path):
    tiny(tmp_path).save("model", iteration=1)
    with open(tmp_path / "model.pth", "r+b") as stream:
        stream.truncate(1000)
    for load in (lambda c: c.load(), lambda c: c.has_checkpoint()):
        with pytest.raises(InputError, match=r"model\.pth \(1000 bytes\) is cut short") as error:
            load(tiny(tmp_path))
        assert "\n" not in str(error.value)


# -- gradients ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("limit", [0.1, 100.0])
def test_clipping_is_that_of_pytorch(limit, caplog):
    torch.manual_seed(0)
    model, reference = nn.Linear(3, 4), nn.Linear(3, 4)
    for a, b in zip(model.parameters(), reference.parameters(), strict=True):
        a.grad = torch.randn_like(a)
        b.grad = a.grad.clone()
    expected = nn.utils.clip_grad_norm_(reference.parameters(), limit)
    unclipped = clip_grad_norm(model.named_parameters(), limit, log)
    torch.testing.assert_close(unclipped, expected)
    clip_grad_norm(model.named_parameters(), limit, log, clip=True, verbose=True)
    for a, b in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert "gradient norm" in caplog.text and "weight" in caplog.text


def test_no_gradients():
    assert clip_grad_norm(nn.Linear(1, 1).named_parameters(), 1.0, log, clip=True) == 0
