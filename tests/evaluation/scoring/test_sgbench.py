"""Our recalls against those of the package sgbench, on exported files and wherever the definitions coincide."""

import json

import numpy as np
import pytest
from evaluation.scoring.world import make_truth, perfect, write

from maskrcnn_benchmark.data.datasets.evaluation.scoring import read_annotated_set, score_predictions
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS

sgbench = pytest.importorskip("sgbench", reason="pip install --no-deps sgbench")
K = (2, 5, 20)
# sgbench also cuts the annotated pairs at k, which is no matter where an image (of five here) has no more
NAMES = [f"{name}@{k}" for name in ("R", "mR", "PR") for k in K if (name, k) != ("PR", 2)]


@pytest.fixture(scope="module")
def noisy():
    """Annotations, one relation a pair, and predictions of which some are right: boxes are moved, classes, predicates
    and the order changed. All objects of an image differ in their classes: sgbench takes a predicted object for one
    annotated object only, the closest."""
    rng = np.random.default_rng(0)
    truth = make_truth(40)
    names = ["ball", "cat", "dog", "man", "tree", "wall"]
    for graph in truth.values():
        for one, name in zip(graph["objects"], names, strict=True):
            one["name"] = name
    predictions = perfect(truth)
    for graph in predictions.values():
        for one in graph["objects"]:
            one["box"] = (np.array(one["box"]) + rng.normal(0, 14, 4)).round(1).tolist()
            one["name"] = one["name"] if rng.random() < 0.9 else names[rng.integers(6)]
        rows = graph["relations"]
        for one in rows:
            one["predicate"] = one["predicate"] if rng.random() < 0.6 else ["holding", "near", "on"][rng.integers(3)]
        known = {(one["subject"], one["object"]) for one in rows}
        rows += [
            {"subject": s, "predicate": "under", "object": o} for s in range(6) for o in range(6)
            if s != o and (s, o) not in known
        ]  # fmt: skip
        for one in rows:
            one["score"] = round(float(rng.random()), 3)
        rows.sort(key=lambda one: -one["score"])
    return truth, predictions


@pytest.fixture(scope="module")
def both(noisy, tmp_path_factory):
    """Our numbers and sgbench's, of the same exported files."""
    truth, predictions = noisy
    folder = tmp_path_factory.mktemp("sgbench")
    known = read_annotated_set(write(folder / "truth.json", truth))
    # sgbench: corners are excluded, a triplet counts once, recall is averaged over images
    card = PROTOCOLS["visualds"].with_fields(inclusive_boxes=False, k=K)
    ours = score_predictions(known, write(folder / "predictions.json", predictions), card, export=folder / "export")
    theirs = {name: [] for name in NAMES}
    exported = json.loads((folder / "export" / "predictions.json").read_text())["images"]
    for image, answer in zip(
        json.loads((folder / "export" / "ground_truth.json").read_text())["data"], exported, strict=True
    ):
        assert image["image_id"] == answer["id"]
        gt = np.unique(np.array(image["relations"]), axis=0)
        mapping = sgbench.match_instances(
            np.array([one["bbox"] for one in image["annotations"]]),
            np.array([one["category_id"] for one in image["annotations"]]),
            np.array(answer["bboxes"]),
            np.array(answer["categories"]),
        )
        matched = sgbench.remap_triplets(mapping, np.array(answer["triplets"]))
        for k in K:
            theirs[f"R@{k}"].append(sgbench.recall(k, False, gt, matched, 4))
            theirs[f"mR@{k}"].append(sgbench.recall(k, True, gt, matched, 4))
            if f"PR@{k}" in theirs:
                theirs[f"PR@{k}"].append(sgbench.pair_recall(k, gt, matched))
    means = {name: float(np.mean(np.nanmean(values, 0))) for name, values in theirs.items()}
    return ours.graphs.found, means


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_those_of_sgbench(both, name):
    ours, theirs = both
    assert ours[name] == pytest.approx(theirs[name], abs=1e-12)
    assert 0.02 < ours[name] < 1


def test_an_export_scores_the_same_when_it_is_read_again(noisy, tmp_path):
    truth, predictions = noisy
    known = read_annotated_set(write(tmp_path / "truth.json", truth))
    first = score_predictions(known, write(tmp_path / "p.json", predictions), PROTOCOLS["sgb"], export=tmp_path)
    again = score_predictions(
        read_annotated_set(tmp_path / "ground_truth.json"), tmp_path / "predictions.json", PROTOCOLS["sgb"]
    )
    assert again.graphs.found == pytest.approx(first.graphs.found, nan_ok=True)
