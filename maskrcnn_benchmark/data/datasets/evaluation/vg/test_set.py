"""What a set of numbers was measured on, in a few bytes: two evaluations are comparable where these are equal."""

from __future__ import annotations

import hashlib
import os

import numpy as np


def annotation_fingerprint(dataset) -> str:
    """A digest of the images and annotations of a `VGDataset`, whatever it is called and wherever its files are.

    Names of classes and predicates, and of each image its file name without folder, size, boxes, classes and relations
    count, in their order.
    """
    digest = hashlib.sha256(repr([dataset.ind_to_classes, dataset.ind_to_predicates]).encode())
    rows = zip(dataset.filenames, dataset.gt_boxes, dataset.gt_classes, dataset.relationships, strict=True)
    for index, (name, *arrays) in enumerate(rows):
        info = dataset.get_img_info(index)
        digest.update(repr((os.path.basename(name), info["width"], info["height"])).encode())
        for values in arrays:
            digest.update(_bytes(values))
    return digest.hexdigest()[:16]


def triplet_fingerprint(*lists: np.ndarray) -> str:
    """A digest of lists of triplets int [Z, 3]; the order within a list and repetitions do not count."""
    digest = hashlib.sha256()
    for triplets in lists:
        digest.update(_bytes(np.unique(np.asarray(triplets, dtype=np.int64).reshape(-1, 3), axis=0)))
    return digest.hexdigest()[:16]


def _bytes(values: np.ndarray) -> bytes:
    """Shape and values, the same for every integer type."""
    values = np.ascontiguousarray(values, dtype="<i8")
    return repr(values.shape).encode() + values.tobytes()
