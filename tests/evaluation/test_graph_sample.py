"""The graphs that an evaluation keeps: which images, which relations, and which of them are hits."""

import json
import logging

import numpy as np
import pytest
import torch
from support import boxlist, parity_config, vg_dataset

from maskrcnn_benchmark.data.datasets.evaluation.vg.graph_sample import (
    IMAGES,
    RELATIONS,
    graph_of_image,
    sample_indices,
)
from maskrcnn_benchmark.data.datasets.evaluation.vg.vg_eval import do_vg_evaluation


def test_images_are_evenly_spaced_from_the_first_to_the_last():
    assert sample_indices(0) == [] and sample_indices(1) == [0] and sample_indices(5) == [0, 1, 2, 3, 4]
    chosen = sample_indices(26446)
    assert len(chosen) == IMAGES and (chosen[0], chosen[-1]) == (0, 26445)
    assert max(np.diff(chosen)) - min(np.diff(chosen)) <= 1


@pytest.fixture(scope="module")
def dataset():
    return vg_dataset("test", filter_empty_rels=True)


def predict(dataset, index):
    """The annotated objects in reverse order; the last annotated relation best, then every other pair."""
    truth = dataset.get_groundtruth(index, evaluation=True)
    last = len(truth) - 1
    order = list(range(last, -1, -1))
    subject, thing, predicate = truth.get_field("relation_tuple")[-1].tolist()
    pairs = [(last - subject, last - thing)]
    pairs += [(i, j) for i in range(last + 1) for j in range(last + 1) if i != j and (i, j) != pairs[0]]
    scores = torch.full((len(pairs), 51), 0.001)
    scores[:, 0] = 0.9
    scores[0, predicate] = 0.5
    fields = {"pred_labels": truth.get_field("labels")[order], "pred_scores": torch.ones(last + 1)}
    return boxlist(truth.bbox[order] * 2, [2 * x for x in truth.size], rel_pair_idxs=torch.tensor(pairs),
                   pred_rel_scores=scores, **fields)  # fmt: skip


@pytest.mark.parametrize("protocol", ["sgb", "visualds"])
def test_graphs_of_an_evaluation(protocol, dataset, tmp_path):
    config = parity_config("sgdet", extra=["TEST.RELATION.PROTOCOL", protocol])
    predictions = [predict(dataset, index) for index in range(len(dataset))]
    logger = logging.getLogger("test_graph_sample")
    do_vg_evaluation(config, dataset, predictions, str(tmp_path), logger, ("relations",))
    graphs = json.loads((tmp_path / "graphs.json").read_text())
    assert [graph["index"] for graph in graphs] == sample_indices(len(dataset))
    for graph in graphs:
        truth, found = graph["ground_truth"], graph["prediction"]
        groundtruth = dataset.get_groundtruth(graph["index"], evaluation=True)
        assert graph["image"].endswith(dataset.filenames[graph["index"]].rsplit("/", 1)[-1])
        np.testing.assert_allclose(truth["boxes"], groundtruth.bbox.numpy(), atol=0.051)
        relations = groundtruth.get_field("relation_tuple").tolist()
        last = relations[-1]
        if protocol == "visualds":
            relations = sorted({tuple(row) for row in relations})
        names = dataset.ind_to_predicates
        assert [tuple(r.values()) for r in truth["relations"]] == [(s, names[p], o) for s, o, p in relations]

        assert len(found["relations"]) == min(RELATIONS, len(groundtruth) * (len(groundtruth) - 1))
        best = found["relations"][0]
        assert (best["predicate"], best["score"]) == (names[last[2]], 0.5)
        # boxes are in pixels of the original image, and only those of kept relations are there
        np.testing.assert_allclose(found["boxes"][best["subject"]], truth["boxes"][last[0]], atol=0.11)
        used = {relation[end] for relation in found["relations"] for end in ("subject", "object")}
        assert used == set(range(len(found["boxes"])))
        assert [list(relations[place]) for place in best["matches"]].count(last) >= 1
        for relation in found["relations"]:
            for place in relation["matches"]:
                true = truth["relations"][place]
                assert true["predicate"] == relation["predicate"]
                assert truth["names"][true["subject"]] == found["names"][relation["subject"]]
                assert truth["names"][true["object"]] == found["names"][relation["object"]]


def test_an_object_has_no_relation_with_itself(dataset):
    truth = np.zeros((0, 4)), np.zeros(0, int), np.zeros((0, 3), int)
    predicted = np.array([[0.0, 0, 9, 9]]), np.array([1]), np.array([[0, 0]]), np.full((1, 51), 0.5)
    for all_boxes in (True, False):
        graph = graph_of_image(dataset, 0, truth, predicted, np.zeros((1, 0), bool), all_boxes)
        assert graph["prediction"]["relations"] == [] and len(graph["prediction"]["boxes"]) == int(all_boxes)
