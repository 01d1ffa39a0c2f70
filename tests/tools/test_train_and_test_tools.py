"""The four tools as their users call them: what they do end to end, and what they say when the input is wrong."""

import json
import shutil

import pytest
import torch
from small_run import NAME, run_tool, write_config
from support import HEAD, PARITY


@pytest.fixture
def tool(run_here):
    """Run a tool with a configuration: (exit status, standard output, standard error)."""

    def call(name, config, *opts):
        return run_here(name, "--config-file", config, *opts)

    return call


def results(folder, split="test"):
    return json.loads((folder / "output" / "inference" / f"{NAME}_{split}" / "evaluation.json").read_text())


def folder_of(path, name):
    (path / name).mkdir()
    return path / name


def test_detector_then_relations(tool, tmp_path):
    """A detector is trained and tested, relation models start from it in all three tasks, and are tested again."""
    detector = folder_of(tmp_path, "detector")
    config = write_config(detector, "detector", SOLVER__MAX_ITER=2)
    status, out, _ = tool("detector_pretrain_net", config)
    assert status == 0
    assert f"mAP at IoU 0.5 on {NAME}_val: " in out and f"mAP at IoU 0.5 on {NAME}_test: " in out
    status, again, _ = tool("detector_pretest_net", config)
    assert status == 0 and "loading checkpoint from" in again
    assert [line.split("INFO")[1] for line in out.splitlines() if "mAP at" in line] == [
        line.split("INFO")[1] for line in again.splitlines() if "mAP at" in line
    ]
    assert results(detector, "val")["task"] == "detection"
    weights = detector / "output" / "model_final.pth"
    box_head = torch.load(weights, weights_only=True)

    for task, predictor in (("predcls", "MotifPredictor"), ("sgcls", "IMPPredictor"), ("sgdet", "MotifPredictor")):
        folder = folder_of(tmp_path, task)
        # a learning rate of zero: what the weights were at the start shows at the end
        config = write_config(folder, task, predictor, SOLVER__MAX_ITER=1, SOLVER__BASE_LR=0.0)
        status, out, error = tool("relation_train_net", config, "MODEL.PRETRAINED_DETECTOR_CKPT", weights)
        assert status == 0, error
        assert f"loading checkpoint from {weights}" in out and "matched" in out
        assert ("a tenth of it for roi_heads.relation.box_feature_extractor" in out) == (predictor == "IMPPredictor")
        saved = torch.load(folder / "output" / "model_final.pth", weights_only=True)
        for name, value in box_head["model"].items():
            assert torch.equal(saved["model"][name], value), name
        for extractor in ("box_feature_extractor", "union_feature_extractor.feature_extractor"):
            assert torch.equal(
                saved["model"][f"roi_heads.relation.{extractor}.fc7.weight"],
                box_head["model"]["roi_heads.box.feature_extractor.fc7.weight"],
            )
        assert len(saved["obj_classes"]) == 151 and len(saved["rel_classes"]) == 51
        assert (folder / "output" / "config.yml").exists() and (folder / "output" / "log.txt").exists()

        trained = results(folder)
        assert (trained["task"], trained["dataset"]) == (task, f"{NAME}_test")
        shutil.rmtree(folder / "output" / "inference")
        status, out, _ = tool("relation_test_net", config)
        assert status == 0 and str(folder / "output" / "model_final.pth") in out
        assert results(folder) == trained


def test_weights_given_on_the_command_line_win(tool, tmp_path):
    config = write_config(tmp_path, SOLVER__MAX_ITER=1, MODEL__WEIGHT="catalog://ImageNetPretrained/MSRA/R-50")
    assert tool("relation_train_net", config, "--skip-test")[0] == 0
    other = tmp_path / "other.pth"
    (tmp_path / "output" / "model_final.pth").rename(other)
    status, out, _ = tool("relation_test_net", config, "MODEL.WEIGHT", other)
    assert status == 0 and f"loading checkpoint from {other}" in out
    status, _, error = tool("relation_test_net", config, "OUTPUT_DIR", tmp_path)
    assert status == 1 and "no trained model to test" in error


def test_other_splits_can_be_tested(tool, tmp_path):
    config = write_config(tmp_path, SOLVER__MAX_ITER=1)
    assert tool("relation_train_net", config, "--skip-test")[0] == 0
    assert tool("relation_test_net", config, "DATASETS.TO_TEST", "val")[0] == 0
    assert results(tmp_path, "val")["num_images"] == 10


def test_seed_decides_the_run(tool, tmp_path):
    ends = []
    for place, seed in enumerate((1, 1, 2)):
        folder = folder_of(tmp_path, str(place))
        config = write_config(folder, SOLVER__MAX_ITER=1)
        assert tool("relation_train_net", config, "--skip-test", "--local_rank", "0", "--seed", seed)[0] == 0
        ends.append(json.loads((folder / "output" / "metrics.json").read_text().splitlines()[0])["loss"])
    assert ends[0] == ends[1] != ends[2]


def test_kept_feature_maps_change_nothing(tool, tmp_path):
    ends = []
    for place in ("none", "first", "second"):
        folder = folder_of(tmp_path, place)
        cache = "" if place == "none" else str(tmp_path / "features")
        config = write_config(folder, MODEL__BACKBONE__FEATURE_CACHE=cache, SOLVER__MAX_ITER=2)
        assert tool("relation_train_net", config, "--seed", 1)[0] == 0
        ends.append((torch.load(folder / "output" / "model_final.pth", weights_only=True)["model"], results(folder)))
        if place == "first":
            kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "features").rglob("*.pt")}
    assert len(kept) > 27 and kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "features").rglob("*.pt")}
    (without, without_results), (first, first_results), (second, second_results) = ends
    assert first_results == second_results
    assert first_results["metrics"].keys() == without_results["metrics"].keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
        torch.testing.assert_close(value, without[name], rtol=1e-3, atol=1e-5)  # one by one and in batches


def test_a_detector_cannot_learn_from_kept_feature_maps(tool, tmp_path):
    config = write_config(tmp_path, "detector", MODEL__BACKBONE__FEATURE_CACHE=str(tmp_path / "features"))
    status, _, error = tool("detector_pretrain_net", config)
    assert status == 1 and "FEATURE_CACHE is for a backbone that does not learn" in error


def test_two_processes_give_the_numbers_of_one(tmp_path):
    """Trained and tested by two processes; tested again by one, with the same images in a batch."""
    config = write_config(tmp_path, SOLVER__MAX_ITER=2, TEST__SAVE_PROPOSALS=True, TEST__ALLOW_LOAD_FROM_CACHE=False)
    predictions = tmp_path / "output" / "inference" / f"{NAME}_test" / "eval_results.pytorch"
    result = run_tool("relation_train_net", config, "TEST.IMS_PER_BATCH", 2, processes=2)
    assert result.returncode == 0, result.stderr
    assert "Using 2 processes" in result.stdout and result.stdout.count("Start training") == 1
    saved = torch.load(tmp_path / "output" / "model_final.pth", weights_only=True)
    assert len(saved["random_states"]) == 2 and not any(name.startswith("module.") for name in saved["model"])
    by_two = results(tmp_path), torch.load(predictions, weights_only=False)["predictions"]
    assert by_two[0]["num_images"] == 27  # an odd number: the sampler gives one image to both
    assert run_tool("relation_test_net", config, "TEST.IMS_PER_BATCH", 2).returncode == 0
    of_one, of_two = (
        {name: -1.0 if value is None else value for name, value in found["metrics"].items()}
        for found in (results(tmp_path), by_two[0])
    )
    assert of_one == pytest.approx(of_two, rel=1e-5)
    by_one = torch.load(predictions, weights_only=False)["predictions"]
    for one, two in zip(by_one, by_two[1], strict=True):
        ours, theirs = (found.get_field("pred_rel_scores") for found in (one, two))
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


# -- wrong input: one sentence and exit status 1 ---------------------------------------------------------------------
WRONG = {
    "mistyped key": (["SOLVER.BASE_LRR", "0.1"], "SOLVER.BASE_LRR is not a configuration key", "SOLVER.BASE_LR"),
    "unknown predictor": ([HEAD + "PREDICTOR", "MotifsPredictor"], "MotifsPredictor", "MotifPredictor"),
    "predicate count": ([HEAD + "NUM_CLASSES", "50"], HEAD + "NUM_CLASSES is 50", "51"),
    "object count": (["MODEL.ROI_BOX_HEAD.NUM_CLASSES", "150"], "MODEL.ROI_BOX_HEAD.NUM_CLASSES is 150", "151"),
    "no such data": (["DATASETS.DATA_DIR", "/nowhere"], "/nowhere/vg/VG-SGG", "does not exist"),
    "no such data set": (["DATASETS.TRAIN", "('VG_train',)"], "VG_train", "VG_stanford_filtered"),
    "half precision on the CPU": (["DTYPE", "float16"], "DTYPE is float16", "bfloat16"),
    "no folder": (["OUTPUT_DIR", ""], "OUTPUT_DIR is empty"),
    "left out": (["MODEL.MASK_ON", "True"], "MODEL.MASK_ON", "False"),
    "detector": (["MODEL.RELATION_ON", "False"], "MODEL.RELATION_ON is False", "detector_pretrain_net.py"),
    "no detector": (["MODEL.PRETRAINED_DETECTOR_CKPT", "/nowhere.pth"], "/nowhere.pth", "does not exist"),
    "learning rate": (["SOLVER.BASE_LR", "1000", "SOLVER.GRAD_NORM_CLIP", "1e12"], "not finite in iteration", "lower"),
    "protocol": (["TEST.RELATION.PROTOCOL", "coco"], "PROTOCOL is coco", "visualds"),
    "zero-shot file": (["TEST.RELATION.ZERO_SHOT_TRIPLETS", "/nowhere.json"], "/nowhere.json does not exist"),
    "schedule": (["SOLVER.SCHEDULE.TYPE", "Cosine"], "SCHEDULE.TYPE is Cosine", "WarmupMultiStepLR"),
}


def assert_one_sentence(status, error, *parts):
    last = error.strip().splitlines()[-1]
    assert status == 1 and last.startswith("error: ") and "Traceback" not in error
    for part in parts:
        assert part in last


@pytest.mark.parametrize("what", WRONG)
def test_wrong_configuration(what, tool, tmp_path):
    opts, *parts = WRONG[what]
    status, _, error = tool("relation_train_net", write_config(tmp_path), *opts)
    assert_one_sentence(status, error, *parts)


def test_relation_configuration_for_a_detector(tool, tmp_path):
    status, _, error = tool("detector_pretrain_net", write_config(tmp_path))
    assert_one_sentence(status, error, "MODEL.RELATION_ON is True", "relation_train_net.py")


def test_missing_configuration_file(tool, tmp_path):
    status, _, error = tool("relation_test_net", tmp_path / "no.yaml")
    assert_one_sentence(status, error, "no.yaml", "does not exist")


def test_data_file_that_was_cut_short(tmp_path):
    """In a process of its own, so that the exit status is the real one."""
    config = write_config(tmp_path)
    shutil.copytree(PARITY / "vg", tmp_path / "cut" / "vg")
    h5 = tmp_path / "cut" / "vg" / "VG-SGG-with-attri.h5"
    h5.write_bytes(h5.read_bytes()[: h5.stat().st_size // 2])
    result = run_tool("relation_train_net", config, "DATASETS.DATA_DIR", tmp_path / "cut")
    assert_one_sentence(result.returncode, result.stderr, "VG-SGG-with-attri.h5", "cut short")
