"""The same predictions in every format, against the evaluation of a model and against each other."""

import doctest
import json
import pickle

import numpy as np
import pytest
import torch
from evaluation.scoring.world import (
    CLASSES,
    HEIGHT,
    PREDICATES,
    WIDTH,
    annotated,
    custom,
    eval_results,
    make_truth,
    perfect,
    score,
    sgbench,
    write,
)  # fmt: skip
from support import PARITY, parity_config, vg_dataset

from maskrcnn_benchmark.data.datasets.evaluation import stored_arrays
from maskrcnn_benchmark.data.datasets.evaluation.scoring import (
    json_stream,
    names,
    parse_fields,
    read_annotated_set,
    score_predictions,
    zero_shot_of,
)
from maskrcnn_benchmark.data.datasets.evaluation.scoring import score as score_module
from maskrcnn_benchmark.data.datasets.evaluation.scoring.json_stream import stream_json
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS
from maskrcnn_benchmark.data.datasets.evaluation.vg.test_set import annotation_fingerprint
from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import VGEvaluator, save_output
from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture(scope="module")
def truth():
    return make_truth()


def half_right(truth):
    """Predictions whose relations are right in every other image."""
    predictions = perfect(truth)
    for number, graph in enumerate(predictions.values()):
        if number % 2:
            for one in graph["relations"]:
                one["predicate"] = PREDICATES[PREDICATES.index(one["predicate"]) - 1]
    return predictions


def found_in(folder, truth, path, **options):
    return score(folder, truth, path, **options).graphs.found


def test_every_format_gives_the_same(truth, tmp_path):
    predictions = half_right(truth)
    plain = found_in(tmp_path, truth, predictions)
    assert plain["R@20"] == 0.5
    for name, make in {
        "all scores": custom,
        "labels only": lambda *args: custom(*args, all_scores=False),
        "sgbench": sgbench,
    }.items():
        found = found_in(tmp_path, truth, make(tmp_path, predictions))
        shared = [key for key in plain if not key.startswith("ng-") and "rank" not in key]
        assert [found[key] for key in shared] == pytest.approx([plain[key] for key in shared], nan_ok=True), name


def test_json_lines_are_the_same_and_what_gave_an_error_is_missed(truth, tmp_path):
    predictions = half_right(truth)
    lines = [json.dumps({"image": f"photos/{name}", **graph}) + "\n" for name, graph in predictions.items()]
    whole = found_in(tmp_path, truth, predictions)
    (tmp_path / "graphs.jsonl").write_text("".join(lines))
    folder = tmp_path / "of_two_processes"
    folder.mkdir()
    (folder / "predictions.0.jsonl").write_text("".join(lines[::2]))
    (folder / "predictions.1.jsonl").write_text("".join(lines[1::2]))
    for path in (tmp_path / "graphs.jsonl", folder):
        assert found_in(tmp_path, truth, path) == pytest.approx(whole, nan_ok=True)

    (tmp_path / "graphs.jsonl").write_text(json.dumps({"image": "img0.jpg", "error": "cut short"}) + "\n" + lines[2])
    found = score(tmp_path, truth, tmp_path / "graphs.jsonl")
    assert any(note.startswith("images that gave an error when they were predicted: 1 in 1") for note in found.notes)
    assert found.predicted == 1 and found.graphs.found["R@20"] == pytest.approx(1 / len(truth))

    for text, message in ((lines[0][:-9], "line 1 is cut short or no json"), ("[1]\n", "line 1: expected an object")):
        (tmp_path / "graphs.jsonl").write_text(text)
        with pytest.raises(InputError, match=message):
            score(tmp_path, truth, tmp_path / "graphs.jsonl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"has no predictions.jsonl"):
        score(tmp_path, truth, tmp_path / "empty")


def test_annotations_of_json_lines(truth, tmp_path):
    (tmp_path / "annotated.jsonl").write_text(
        "".join(json.dumps({"image": name, **graph}) + "\n" for name, graph in truth.items())
    )
    found = score(tmp_path, truth, half_right(truth), ground_truth=tmp_path / "annotated.jsonl")
    assert found.graphs.found == pytest.approx(found_in(tmp_path, truth, half_right(truth)), nan_ok=True)


def test_boxes_of_sgb_are_in_pixels_of_the_input_or_of_the_image(truth, tmp_path):
    for scaled, note in ((True, "boxes were scaled from"), (False, "boxes were scaled from")):
        result = score(tmp_path, truth, custom(tmp_path, truth, scaled=scaled))
        assert any(note in line for line in result.notes)
        assert (result.graphs.found["R@20"] == 1.0) == scaled
    assert found_in(tmp_path, truth, custom(tmp_path, truth, scaled=False), input_size=(0, 0))["R@20"] == 1.0


def test_boxes_that_only_fit_the_image_are_in_its_pixels(tmp_path):
    """An image that the network gets smaller."""
    truth = make_truth(3)
    for graph in truth.values():
        graph["width"], graph["height"] = 2 * WIDTH, 2 * HEIGHT
        graph["objects"][0]["box"][2:] = [2 * WIDTH - 1, 2 * HEIGHT - 1]
    path = custom(tmp_path, truth, scaled=False)
    result = score(tmp_path, truth, path, input_size=(300, 400))
    assert result.graphs.found["R@20"] == 1.0 and any("in its pixels" in line for line in result.notes)
    with pytest.raises(InputError, match="say its size with --input-size"):
        score(tmp_path, make_truth(3), path, input_size=(200, 300))


def test_relations_of_sgb_are_ordered_by_all_three_scores(tmp_path):
    """The file sorts by the score of the predicate alone."""
    truth = make_truth(1)
    path = custom(tmp_path, truth)
    content = json.loads(path.read_text())
    for place in content["0"]["rel_pairs"][0]:
        content["0"]["bbox_scores"][place] = 0.01
    write(path, content)
    assert found_in(tmp_path, truth, path, fields={"k": (1,)})["R@1"] == 0.2
    truth["img0.jpg"]["relations"] = truth["img0.jpg"]["relations"][:1]
    found = found_in(tmp_path, truth, path, fields={"k": (1, 5)})
    assert (found["R@1"], found["R@5"]) == (0.0, 1.0)


def test_sgbs_results_with_their_own_annotations(truth, tmp_path):
    path = eval_results(tmp_path, truth, scale=2)
    result = score(tmp_path, truth, path, ground_truth=path)
    assert result.graphs.task == "predcls" and result.graphs.found["R@20"] == result.graphs.found["A@20"] == 1.0
    with pytest.raises(InputError, match="predictions for 30 images, but the test set has 29"):
        score(tmp_path, dict(list(truth.items())[1:]), path)
    with pytest.raises(InputError, match="another test set or in another order"):
        score(tmp_path, dict(reversed(truth.items())), path)


def test_nothing_in_a_file_of_results_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    torch.save({"predictions": [Evil()]}, tmp_path / "eval_results.pytorch")
    with pytest.raises(InputError, match=r"it would call io\.open"):
        read_annotated_set(tmp_path / "eval_results.pytorch")
    (tmp_path / "other.pytorch").write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError):
        read_annotated_set(tmp_path / "other.pytorch")
    assert not (tmp_path / "was_run").exists()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A configuration that names the reference data set, whose images are not there."""
    folder = tmp_path_factory.mktemp("catalog")
    vg = folder / "vg"
    vg.mkdir()
    for path in (PARITY / "vg").iterdir():
        if path.is_file():
            (vg / path.name).symlink_to(path)
    config = folder / "config.yaml"
    config.write_text(
        "DATASETS:\n"
        "  TRAIN: ('VG_stanford_filtered_with_attribute_train',)\n"
        "  TEST: ('VG_stanford_filtered_with_attribute_test',)\n"
        f"  DATA_DIR: {folder}\n  NUM_VAL_IM: 10\n"
        f"OUTPUT_DIR: {folder}\n"
    )
    return config


@pytest.mark.parametrize("task", ["predcls", "sgcls", "sgdet"])
def test_a_data_set_of_the_catalog_without_its_images(catalog, tmp_path, task):
    """SGB's file of the recorded predictions gives every number that evaluating them gives."""
    from evaluation.test_vg_evaluation import recorded_predictions

    dataset = vg_dataset("test", filter_empty_rels=True)
    known = read_annotated_set(catalog)
    assert annotation_fingerprint(known) == annotation_fingerprint(dataset)
    predictions = []
    evaluator = VGEvaluator(parity_config(task), dataset, ("relations",))
    for index, prediction in enumerate(recorded_predictions(task)):
        evaluator.update(index, prediction)
        info = dataset.get_img_info(index)
        predictions.append(prediction.resize((info["width"], info["height"])))
    truths = [dataset.get_groundtruth(index, evaluation=True) for index in range(len(dataset))]
    save_output(str(tmp_path), truths, predictions, dataset)
    result = score_predictions(known, tmp_path / "eval_results.pytorch", PROTOCOLS["sgb"], task, zero_shot_of(known))
    expected = evaluator.compute()
    for name, value in expected.items():
        if not name.startswith(("zR", "ng-zR")):
            assert result.graphs.found[name] == pytest.approx(value, abs=1e-12, nan_ok=True), name
    assert result.graphs.card()["zero_shot"]["in_training"] == 0
    assert not np.isnan(result.graphs.found["zR-unseen@20"])


def test_numbers_of_a_dictionary(truth, tmp_path):
    """sgbench's numbers are those of the dictionary that is given, not of the alphabet."""
    order = list(reversed(CLASSES))
    dictionary = {
        "label_to_idx": {name: i for i, name in enumerate(order, 1)},
        "predicate_to_idx": {name: i for i, name in enumerate(PREDICATES, 1)},
    }
    path = write(tmp_path / "dictionary.json", dictionary)
    known = read_annotated_set(write(tmp_path / "truth.json", truth), dict_file=str(path))
    assert known.ind_to_classes == ["__background__", *order]
    content = json.loads(sgbench(tmp_path, truth).read_text())
    for image in content["images"]:
        image["categories"] = [4 - number for number in image["categories"]]
    other = write(tmp_path / "other.json", content)
    assert score_predictions(known, other, PROTOCOLS["sgb"]).graphs.found["R@20"] == 1.0


def test_images_are_found_by_path_name_stem_and_id(truth, tmp_path):
    known = annotated(tmp_path, truth)
    assert [known.find(key) for key in ("img3.jpg", "/data/img3.jpg", "img3", "img3.png")] == [3] * 4
    assert known.find("img99.jpg") is None
    twice = annotated(tmp_path, {"a/x.jpg": truth["img0.jpg"], "b/x.jpg": truth["img1.jpg"]})
    assert (twice.find("a/x.jpg"), twice.find("b/x.jpg"), twice.find("x.jpg")) == (0, 1, None)


@pytest.mark.parametrize("size", [7, 64, 1 << 20])
def test_a_stream_is_the_whole(tmp_path, monkeypatch, size):
    monkeypatch.setattr(json_stream, "_CHUNK", size)
    content = {"a": 12345, "b": {"c": ["{", '\\"}', 1.5e-3, None]}, "images": [1, {"x": []}, "é"], "last": -17}
    path = write(tmp_path / "some.json", content)
    assert list(stream_json(path)) == list(content.items())
    assert [v for k, v in stream_json(path, ("images",)) if k == "images"] == content["images"]
    for value in ({}, [], [1, 2], {"images": []}):
        streamed = list(stream_json(write(path, value), ("images",)))
        assert [one for _, one in streamed] == (value if isinstance(value, list) else [])
    path.write_text('{"a": 1, "b": [1, 2')
    with pytest.raises(InputError, match="cut short or no json"):
        list(stream_json(path))


ENTRIES = {
    "one line for each": lambda content: ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in content.items()),
    "one line": lambda content: json.dumps(content)[1:-1],
    "indented": lambda content: json.dumps(content, indent=2)[1:-1],
}


@pytest.mark.parametrize("form", ENTRIES)
@pytest.mark.parametrize("odd", [None, {"x": {"y": {}}}, {"x": {"y": 1}, "z": '}, "a": {'}, {"x": float("nan")}])
def test_entries_end_where_json_says(tmp_path, monkeypatch, form, odd):
    """Whatever is nested in them, and where msgspec does not take them."""
    monkeypatch.setattr(json_stream, "_CHUNK", 64)
    content = {str(number): {"objects": [{"name": "}", "box": [number, 2.5]}], "n": [{}]} for number in range(9)}
    if odd is not None:
        content["4"] = odd
    path = tmp_path / "some.json"
    path.write_text("{" + ENTRIES[form](content) + "\n}\n")
    assert repr(list(stream_json(path))) == repr(list(content.items()))
    monkeypatch.setattr(json_stream.msgspec.json, "decode", pytest.fail)
    if odd is None and form != "indented":
        with pytest.raises(pytest.fail.Exception):
            list(stream_json(path))


def test_fields_of_a_command_line():
    with pytest.raises(InputError, match="it must be FIELD=VALUE"):
        parse_fields(["averages=images"])
    with pytest.raises(InputError, match="it must be FIELD=VALUE"):
        parse_fields(["average"])
    card = PROTOCOLS["sgb"].with_fields(**parse_fields(["inclusive_boxes=False", "iou_threshold=0.3", "k=10"]))
    assert (card.inclusive_boxes, card.iou_threshold, card.k) == (False, 0.3, (10,))


@pytest.mark.parametrize("module", [names, stored_arrays, score_module])
def test_examples_in_docstrings(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted and not outcome.failed
