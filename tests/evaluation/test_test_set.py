"""Fingerprints: equal where the same was evaluated, other where anything of it differs."""

import copy

import numpy as np
import pytest
from support import vg_dataset

from maskrcnn_benchmark.data.datasets.evaluation.vg.test_set import annotation_fingerprint, triplet_fingerprint


@pytest.fixture(scope="module")
def dataset():
    return vg_dataset("test")


def changed(dataset, name, change):
    other = copy.deepcopy(dataset)
    change(getattr(other, name))
    return annotation_fingerprint(other)


def test_places_do_not_count(dataset):
    other = copy.deepcopy(dataset)
    other.filenames = ["/elsewhere/" + name.rsplit("/", 1)[-1] for name in other.filenames]
    other.roidb_file = "/elsewhere/other.h5"
    other.gt_boxes = [boxes.astype(np.int32) for boxes in other.gt_boxes]
    assert annotation_fingerprint(other) == annotation_fingerprint(dataset)


def test_everything_that_is_evaluated_counts(dataset):
    found = {
        annotation_fingerprint(dataset),
        annotation_fingerprint(vg_dataset("test", num_im=20)),
        changed(dataset, "ind_to_predicates", lambda names: names.__setitem__(3, "beside")),
        changed(dataset, "ind_to_classes", lambda names: names.reverse()),
        changed(dataset, "filenames", lambda names: names.reverse()),
        changed(dataset, "img_info", lambda infos: infos[0].update(width=infos[0]["width"] + 1)),
        changed(dataset, "gt_boxes", lambda boxes: boxes[0].__setitem__((0, 0), boxes[0][0, 0] + 1)),
        changed(dataset, "gt_classes", lambda classes: classes[0].__setitem__(0, classes[0][0] % 150 + 1)),
        changed(dataset, "relationships", lambda relations: relations.__setitem__(0, relations[0][1:])),
    }
    assert len(found) == 9


def test_lists_of_triplets():
    rows = np.array([[1, 2, 3], [4, 5, 6], [1, 2, 3]])
    assert triplet_fingerprint(rows) == triplet_fingerprint(rows[1:]) == triplet_fingerprint(rows[1::-1])
    assert triplet_fingerprint(rows) != triplet_fingerprint(rows[:1])
    none = rows[:0]
    assert triplet_fingerprint(rows, none) != triplet_fingerprint(none, rows)
    assert triplet_fingerprint(none) == triplet_fingerprint(np.zeros((0, 3), dtype=np.int32))
