"""Saving and loading training states: SGB's files, resuming, damage."""

import logging
import os
import signal
import subprocess
import sys
from collections import OrderedDict

import pytest
import torch
from support import fill, parity_config, vg_dataset
from tiny_run import PLATEAU, log, tiny, train
from torch import nn

from maskrcnn_benchmark.data.collate_batch import BatchCollator
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.solver import make_lr_scheduler, make_optimizer
from maskrcnn_benchmark.utils.checkpoint import Checkpointer, DetectronCheckpointer, clip_grad_norm
from maskrcnn_benchmark.utils.errors import InputError


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
