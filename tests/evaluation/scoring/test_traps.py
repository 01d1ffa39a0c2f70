"""Perfect predictions, broken one rule at a time: every time the numbers, a note, the card or an error tells."""

import copy

import numpy as np
import pytest
from evaluation.scoring.world import (
    CLASSES,
    PREDICATES,
    annotated,
    custom,
    eval_results,
    make_truth,
    perfect,
    score,
    sgbench,
)  # fmt: skip

from maskrcnn_benchmark.utils.errors import InputError


@pytest.fixture(scope="module")
def truth():
    return make_truth()


def recall(result, name="R@20"):
    return result.graphs.found[name]


def told(result, words):
    return any(words in line for line in result.notes)


def changed(truth, change):
    """Perfect predictions after a change of every image's graph."""
    predictions = perfect(truth)
    for graph in predictions.values():
        change(graph)
    return predictions


@pytest.mark.parametrize("protocol", ["sgb", "visualds", "vrd"])
def test_perfect_predictions_find_everything(truth, tmp_path, protocol):
    result = score(tmp_path, truth, perfect(truth), protocol)
    assert {recall(result, f"{name}@{k}") for name in ("R", "ng-R", "mR", "PR", "F", "M", "aR") for k in (20, 50)} == {
        1.0
    }
    assert recall(result, "rR") == 1.0 and result.notes == ["the task is sgdet"]


def test_several_predicates_of_a_pair(truth, tmp_path):
    """A worse predicate of every pair first: under graph constraint nothing is right any more, without it all is."""

    def double(graph):
        rows = graph["relations"]
        wrong = [{**one, "predicate": PREDICATES[PREDICATES.index(one["predicate"]) - 1], "score": 1.0} for one in rows]
        graph["relations"] = wrong + rows

    predictions = changed(truth, double)
    result = score(tmp_path, truth, predictions)
    assert (recall(result), recall(result, "ng-R@20")) == (0.0, 1.0)
    assert told(
        result, "relations beyond the first of their pair (they count without graph constraint only): 150 in 30"
    )
    free = score(tmp_path, truth, predictions, fields={"constraint": "none"})
    assert recall(free) == 1.0 and free.graphs.card()["constraint"] == "none"


def test_boxes_shifted_by_one(truth, tmp_path):
    def shift(graph):
        for one in graph["objects"]:
            one["box"] = [x + 1 for x in one["box"]]

    assert told(score(tmp_path, truth, changed(truth, shift)), "boxes lie +1.0, +1.0, +1.0, +1.0 pixels")


def test_corners_that_are_excluded(truth, tmp_path):
    def widen(graph):
        for one in graph["objects"]:
            one["box"] = [*one["box"][:2], one["box"][2] + 1, one["box"][3] + 1]

    assert told(score(tmp_path, truth, changed(truth, widen)), "boxes lie +0.0, +0.0, +1.0, +1.0 pixels")


def test_boxes_of_a_model_are_not_taken_for_shifted(truth, tmp_path):
    rng = np.random.default_rng(0)

    def move(graph):
        for one in graph["objects"]:
            one["box"] = (np.array(one["box"]) + rng.normal(1, 2, 4)).tolist()

    assert not told(score(tmp_path, truth, changed(truth, move)), "boxes lie")


def test_boxes_as_width_and_height(truth, tmp_path):
    def other(graph):
        for one in graph["objects"]:
            x1, y1, x2, y2 = one["box"]
            one["box"] = [x1, y1, x2 - x1 + 1, y2 - y1 + 1]

    result = score(tmp_path, truth, changed(truth, other))
    assert recall(result) < 1 and told(result, "are they x, y, width, height?")


def test_relations_twice(truth, tmp_path):
    """Doubles take no place from others, with or without constraint."""

    def double(graph):
        graph["relations"] = [one for one in graph["relations"] for _ in range(5)]

    result = score(tmp_path, truth, changed(truth, double), fields={"k": (5,)})
    assert (recall(result, "R@5"), recall(result, "ng-R@5")) == (1.0, 1.0)
    assert told(result, "relations that are there twice (the best place counts): 600 in 30 images")


def test_relations_of_an_object_with_itself(truth, tmp_path):
    def add(graph):
        graph["relations"].insert(0, {"subject": 0, "predicate": "on", "object": 0, "score": 0.95})

    result = score(tmp_path, truth, changed(truth, add), fields={"k": (5,)})
    assert recall(result, "R@5") == pytest.approx(0.8)
    assert told(result, "relations of an object with itself")


def test_scores_that_are_not_sorted(truth, tmp_path):
    def turn(graph):
        graph["relations"].reverse()

    result = score(tmp_path, truth, changed(truth, turn), fields={"k": (1, 5)})
    straight = score(tmp_path, truth, perfect(truth), fields={"k": (1, 5)})
    assert recall(result, "R@1") == recall(straight, "R@1")
    assert told(result, "relations that were not sorted by score, and now are: 120 in 30 images")


def test_scores_that_tie(truth, tmp_path):
    def flatten(graph):
        for one in graph["relations"]:
            one["score"] = 0.5

    assert told(score(tmp_path, truth, changed(truth, flatten)), "the same score as the one before")


@pytest.mark.parametrize("where", ["box", "object score", "relation score"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "high"])
def test_what_is_no_number(truth, tmp_path, where, value):
    predictions = perfect(truth)
    graph = predictions["img3.jpg"]
    if where == "box":
        graph["objects"][0]["box"][2] = value
    else:
        graph["objects" if where == "object score" else "relations"][0]["score"] = value
    with pytest.raises(InputError, match=r"image img3.jpg: ") as error:
        score(tmp_path, truth, predictions)
    assert "\n" not in str(error.value)


def test_scores_of_a_model_that_are_no_number(truth, tmp_path):
    import torch

    path = eval_results(tmp_path, truth)
    content = torch.load(path, weights_only=False)
    content["predictions"][4].get_field("pred_rel_scores")[2, 3] = float("nan")
    torch.save(content, path)
    with pytest.raises(InputError, match=r"image 4: scores of relations or objects are nan"):
        score(tmp_path, truth, path, ground_truth=path)


@pytest.mark.parametrize("what", ["class", "predicate"])
def test_classes_and_predicates_numbered_from_another_start(truth, tmp_path, what):
    """Where numbers leave the range there is an error; where they do not, what is off by one nearly everywhere."""
    with pytest.raises(InputError, match=r"is none of the test set's, 0 to \d; sgbench numbers from 0"):
        score(tmp_path, truth, sgbench(tmp_path, truth, start=1))

    def rename(graph):
        for one in graph["objects"] if what == "class" else graph["relations"]:
            key, names = ("name", CLASSES) if what == "class" else ("predicate", PREDICATES)
            one[key] = names[(names.index(one[key]) + 1) % len(names)]

    result = score(tmp_path, truth, changed(truth, rename))
    assert recall(result) < 0.1 and told(result, f"have a {what} of 1 more than the annotated number")


def test_zero_based_numbers_of_sgb(truth, tmp_path):
    """The list of names tells where numbers start, so these are certain."""
    result = score(tmp_path, truth, custom(tmp_path, truth, background=False))
    assert recall(result) == 1.0 and told(result, "classes are numbered from 0, without a background")


def test_names_that_are_spelt_otherwise_and_names_that_are_not_known(truth, tmp_path):
    names = {"cat": "Cat ", "dog": "dgo"}

    def rename(graph):
        for one in graph["objects"]:
            one["name"] = names.get(one["name"], one["name"])
        for one in graph["relations"]:
            one["predicate"] = {"on": "onto"}.get(one["predicate"], one["predicate"])

    result = score(tmp_path, truth, changed(truth, rename))
    assert told(result, "the class 'Cat ' was taken for 'cat'")
    assert told(result, "the test set has no class 'dgo'") and told(result, "the nearest that it has is 'dog'")
    assert told(result, "the test set has no predicate 'onto'") and told(result, "the nearest that it has is 'on'")
    assert 0 < recall(result) < 1


def test_images_that_are_not_predicted_count_as_missed(truth, tmp_path):
    predictions = dict(list(perfect(truth).items())[:12])
    result = score(tmp_path, truth, predictions)
    assert recall(result) == pytest.approx(0.4)
    assert told(result, "18 of 30 images have no prediction, such as img12.jpg; all their relations count as missed")
    part = score(tmp_path, truth, predictions, only_predicted=True)
    assert recall(part) == 1.0 and part.graphs.card()["split"]["images"] == 12
    assert told(part, "the test set was cut to the 12 of 30 images")


def test_images_that_are_not_annotated_are_left_out(truth, tmp_path):
    predictions = perfect(truth)
    predictions["other.jpg"] = copy.deepcopy(predictions["img0.jpg"])
    result = score(tmp_path, truth, predictions)
    assert recall(result) == 1.0 and told(result, "1 images are not in the test set, such as other.jpg")
    with pytest.raises(InputError, match="has no prediction for an image of the test set"):
        score(tmp_path, truth, {"other.jpg": predictions["other.jpg"]})


def test_the_same_image_twice(truth, tmp_path):
    predictions = perfect(truth)
    predictions["elsewhere/img0.jpg"] = predictions["img0.jpg"]
    with pytest.raises(InputError, match=r"the image img0.jpg twice"):
        score(tmp_path, truth, predictions)


def test_a_relation_nms_needs_all_scores(truth, tmp_path):
    with pytest.raises(InputError, match=r"relation NMS at 0\.6, which needs the scores of every predicate"):
        score(tmp_path, truth, perfect(truth), "penet", task="predcls")


def test_annotations_that_repeat(tmp_path):
    """Two of six relations are the same: what the first prediction finds counts 2/6, 1/5, or 1/6."""
    truth = make_truth(1)
    (graph,) = truth.values()
    graph["relations"].insert(0, dict(graph["relations"][0]))
    expected = {"sgb": 2 / 6, "visualds": 1 / 5, "vrd": 1 / 6}
    predictions = perfect(truth)
    for protocol, value in expected.items():
        assert recall(score(tmp_path, truth, predictions, protocol, {"k": (1,)}), "R@1") == pytest.approx(value)


def test_objects_of_predcls_in_another_order(truth, tmp_path):
    """Boxes are given in PredCls, so their order is the file's own affair; other boxes are none of PredCls."""
    predictions = perfect(truth)
    for graph in predictions.values():
        graph["objects"].reverse()
        for one in graph["relations"]:
            one["subject"], one["object"] = 5 - one["subject"], 5 - one["object"]
    result = score(tmp_path, truth, predictions, task="predcls")
    assert (recall(result), recall(result, "A@20")) == (1.0, 1.0)
    assert told(result, "objects that were put in the order of the annotation")
    for graph in predictions.values():
        graph["objects"][0]["box"] = [0, 0, 5, 5]
    assert told(score(tmp_path, truth, predictions, task="predcls"), "objects that are not the annotated ones")


@pytest.mark.parametrize(
    "content, message",
    [
        ("[]", "is no json of predictions"),
        ('{"a.jpg": {"boxes": []}}', "is no json of predictions"),
        (
            '{"img0.jpg": {"objects": [], "relations": [{"subject": 0, "object": 1, "predicate": "on"}]}}',
            "names the object 0",
        ),
        ('{"img0.jpg": {"objects": [{"box": [0, 0, 1, 1]}]}}', "KeyError"),
        ('{"img0.jpg": {"objects": [', "is cut short or no json"),
        ('{"img0.jpg": {"objects": []}} trailing', "is cut short or no json"),
    ],
)
def test_files_that_cannot_be_read(truth, tmp_path, content, message):
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as error:
        score(tmp_path, truth, path)
    assert "\n" not in str(error.value)


def test_annotations_without_an_image(tmp_path):
    with pytest.raises(InputError, match="has no image"):
        annotated(tmp_path, {})
    with pytest.raises(InputError, match=r"image a.jpg: .*names the object 3"):
        annotated(tmp_path, {"a.jpg": {"objects": [], "relations": [{"subject": 3, "object": 0, "predicate": "on"}]}})
