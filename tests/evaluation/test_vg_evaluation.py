"""The evaluation of a split: SGB's numbers, its log and files, and the protocols."""

import json
import logging
import re

import numpy as np
import pytest
import torch
from support import PARITY, TASKS, boxlist, parity_config, vg_dataset

from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import (
    VGEvaluator,
    do_vg_evaluation,
    evaluate_relation_of_one_image,
    finish_metrics,
    make_metrics,
    rank_image,
    save_output,
)
from maskrcnn_benchmark.utils.errors import InputError

REFERENCE = json.loads((PARITY / "evaluator.json").read_text())
ZERO_SHOT = ["TEST.RELATION.ZERO_SHOT_TRIPLETS", str(PARITY / "vg" / "zeroshot_triplets.json")]
BOTH = ("bbox", "relations")


@pytest.fixture(scope="module")
def dataset():
    return vg_dataset("test", filter_empty_rels=True)


def recorded_predictions(task):
    """The predictions that the reference numbers were taken on, one after the other."""
    arrays = np.load(PARITY / "evaluator.npz")
    fields = {"num_objs": ("boxes", "labels", "pred_labels", "pred_scores"),
              "num_rels": ("rel_pair_idxs", "pred_rel_scores", "pred_rel_labels")}  # fmt: skip
    columns = {
        name: np.split(arrays[f"{task}/{name}"], np.cumsum(arrays[f"{task}/{count}"])[:-1])
        for count, names in fields.items()
        for name in names
    }
    for index, size in enumerate(arrays[task + "/size"]):
        values = {name: column[index] for name, column in columns.items()}
        yield boxlist(values.pop("boxes"), size, **values)


@pytest.fixture
def logger(caplog):
    caplog.set_level(logging.INFO)
    return logging.getLogger("test_vg_evaluation")


@pytest.mark.parametrize("task", TASKS)
def test_every_number_of_sgb(task, dataset, tmp_path, logger, caplog):
    want = REFERENCE[task]
    value = do_vg_evaluation(
        parity_config(task, extra=ZERO_SHOT), dataset, recorded_predictions(task), str(tmp_path), logger, BOTH, "some"
    )
    assert value == pytest.approx(want["return"], abs=1e-9)
    result = torch.load(tmp_path / "result_dict.pytorch", weights_only=True)
    for key, by_k in want.items():
        if not key.startswith(task) or (task == "sgdet" and "accuracy" in key):
            continue
        for k, expected in by_k.items():
            got = result[key][int(k)]
            np.testing.assert_allclose(got if key.endswith("_list") else np.mean(got), expected, atol=1e-9)
    for line in want["log"]:
        assert line in caplog.text
    assert float(re.search(r"mAp=(\S+)", caplog.text)[1]) == pytest.approx(want["mAp"], abs=1e-4)

    summary = json.loads((tmp_path / "evaluation.json").read_text())
    assert (summary["dataset"], summary["task"], summary["protocol"]["name"]) == ("some", task, "sgb")
    assert summary["num_images"] == len(dataset) and f"protocol=sgb, {len(dataset)} images" in caplog.text
    assert summary["metrics"]["R@100"] == pytest.approx(want["return"], abs=1e-9)
    assert summary["metrics"]["mR@50"] == pytest.approx(want[task + "_mean_recall"]["50"], abs=1e-9)


def test_order_of_images_changes_nothing(dataset, logger, tmp_path):
    config = parity_config("sgdet", extra=ZERO_SHOT)
    pairs = list(enumerate(recorded_predictions("sgdet")))
    order = np.random.default_rng(0).permutation(len(pairs))
    for name, stream in (("a", iter(pairs)), ("b", (pairs[i] for i in order))):
        do_vg_evaluation(config, dataset, stream, str(tmp_path / name), logger, BOTH)
    files = [(tmp_path / name / "evaluation.json").read_text() for name in "ab"]
    assert files[0] == files[1]


def test_predictions_are_taken_one_by_one(dataset, logger):
    alive = []

    def stream():
        import weakref

        for prediction in recorded_predictions("predcls"):
            alive.append(weakref.ref(prediction))
            yield prediction
            del prediction
            assert sum(reference() is not None for reference in alive[:-1]) == 0

    do_vg_evaluation(parity_config("predcls", extra=ZERO_SHOT), dataset, stream(), None, logger, BOTH)
    assert len(alive) == len(dataset)


def test_an_image_counts_once(dataset):
    evaluator = VGEvaluator(parity_config("predcls", extra=ZERO_SHOT), dataset, BOTH)
    prediction = next(recorded_predictions("predcls"))
    evaluator.update(0, prediction)
    with pytest.raises(ValueError, match="image 0 was predicted twice"):
        evaluator.update(0, prediction)


def test_boxes_in_another_scale_are_the_same_prediction(dataset, logger):
    config = parity_config("sgdet", extra=ZERO_SHOT)
    smaller = (p.resize((p.size[0] / 2, p.size[1] / 2)) for p in recorded_predictions("sgdet"))
    value = do_vg_evaluation(config, dataset, smaller, None, logger, BOTH)
    assert value == pytest.approx(REFERENCE["sgdet"]["return"], abs=1e-9)


def test_image_by_image_as_sgb_calls_it(dataset):
    """`evaluate_relation_of_one_image` with SGB's containers gives what the stream gives."""
    result, mode = {}, "sgcls"
    metrics = make_metrics(result, mode, 51, dataset)
    triplets = np.array(json.loads((PARITY / "vg" / "zeroshot_triplets.json").read_text()))
    containers = {"mode": mode, "iou_thres": 0.5, "zeroshot_triplet": triplets}
    for index, prediction in enumerate(recorded_predictions(mode)):
        info = dataset.get_img_info(index)
        groundtruth = dataset.get_groundtruth(index, evaluation=True)
        prediction = prediction.resize((info["width"], info["height"]))
        evaluate_relation_of_one_image(groundtruth, prediction, containers, metrics)
    finish_metrics(metrics, mode)
    for key in ("_recall", "_recall_nogc", "_zeroshot_recall", "_mean_recall", "_ng_mean_recall", "_accuracy_hit"):
        for k, expected in REFERENCE[mode][mode + key].items():
            np.testing.assert_allclose(np.mean(result[mode + key][int(k)]), expected, atol=1e-9)


def two_boxes(**fields):
    return boxlist([[0.0, 0, 20, 20], [30, 30, 60, 60]], (80, 80), labels=torch.tensor([3, 4]), **fields)


def predicted(pairs=((0, 1), (1, 0)), best=(2, 5), objects=2):
    scores = torch.zeros(len(pairs), 51)
    scores[range(len(pairs)), list(best[: len(pairs)])] = 0.9
    boxes = two_boxes(pred_labels=torch.tensor([3, 4]), pred_scores=torch.ones(2))[:objects]
    boxes.add_field("rel_pair_idxs", torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2))
    boxes.add_field("pred_rel_scores", scores)
    return boxes


def test_repeated_annotations_count_once_under_visualds_only():
    groundtruth = two_boxes(relation_tuple=torch.tensor([[0, 1, 2], [0, 1, 2], [1, 0, 6]]))
    assert (rank_image(groundtruth, predicted(), "predcls", 0.5)["rank"] < 20).tolist() == [True, True, False]
    distinct = rank_image(groundtruth, predicted(), "predcls", 0.5, distinct=True)
    assert (distinct["rank"] < 20).tolist() == [True, False]


@pytest.mark.parametrize(
    "relations, prediction",
    [([], predicted()), ([[0, 1, 2]], predicted(pairs=())), ([[0, 1, 2]], predicted(pairs=(), objects=1))],
    ids=["no annotated relation", "no predicted pair", "one object"],
)
def test_images_that_sgb_skips(relations, prediction):
    groundtruth = two_boxes(relation_tuple=torch.tensor(relations, dtype=torch.int64).reshape(-1, 3))
    assert rank_image(groundtruth, prediction, "sgdet", 0.5) is None


def test_fewer_predicted_than_annotated_boxes_are_matched_by_overlap(caplog, monkeypatch):
    """Pairs count the boxes of the prediction; taken as indices of the annotation they would name other objects."""
    caplog.set_level(logging.WARNING, "maskrcnn_benchmark")
    monkeypatch.setattr(logging.getLogger("maskrcnn_benchmark"), "propagate", True)
    three = boxlist([[70.0, 70, 79, 79], [0, 0, 20, 20], [30, 30, 60, 60]], (80, 80), labels=torch.tensor([9, 3, 4]))
    three.add_field("relation_tuple", torch.tensor([[1, 2, 2]]))
    assert rank_image(three, predicted(), "predcls", 0.5)["rank"].tolist() == [0]
    assert "2 boxes predicted where 3 are annotated" in caplog.text


def test_nothing_to_evaluate_gives_no_number(dataset, logger, tmp_path):
    value = do_vg_evaluation(parity_config("predcls", extra=ZERO_SHOT), dataset, [], str(tmp_path), logger, BOTH)
    assert np.isnan(value)
    assert json.loads((tmp_path / "evaluation.json").read_text())["metrics"]["mR@20"] == 0.0
    assert json.loads((tmp_path / "evaluation.json").read_text())["metrics"]["R@20"] is None


def test_detections_alone(dataset, logger, tmp_path):
    config = parity_config("sgdet")
    value = do_vg_evaluation(config, dataset, recorded_predictions("sgdet"), str(tmp_path), logger, ("bbox",))
    assert value == pytest.approx(REFERENCE["sgdet"]["mAp"], abs=1e-4)
    assert json.loads((tmp_path / "evaluation.json").read_text())["task"] == "detection"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluation.json"]


def test_unknown_protocol_is_an_input_error(dataset):
    config = parity_config("predcls", extra=["TEST.RELATION.PROTOCOL", "visual"])
    with pytest.raises(InputError, match="PROTOCOL is visual; it must be one of sgb, visualds, vrd, penet"):
        VGEvaluator(config, dataset, BOTH)


def test_predictions_for_sgbs_notebooks(dataset, tmp_path):
    predictions = list(recorded_predictions("sgdet"))
    groundtruths = [dataset.get_groundtruth(i, evaluation=True) for i in range(len(dataset))]
    save_output(str(tmp_path), groundtruths, predictions, dataset)
    saved = torch.load(tmp_path / "eval_results.pytorch", weights_only=False)
    torch.testing.assert_close(saved["predictions"][3].bbox, predictions[3].bbox)
    visual = json.loads((tmp_path / "visual_info.json").read_text())
    label = int(groundtruths[2].get_field("labels")[0])
    assert visual[2]["groundtruth"][0][4] == dataset.ind_to_classes[label]
    assert visual[2]["img_file"].endswith(dataset.filenames[2].rsplit("/", 1)[1])
