"""Ordered pairs of the boxes of an image, or of many images at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .vg_format import overlap_areas, ranges

_PAIRS_AT_A_TIME = 1_000_000  # boxes of so many pairs are compared at once, which bounds the memory


def box_filter(boxes: np.ndarray, must_overlap: bool = False) -> np.ndarray:
    """Ordered pairs [k, 2] of different boxes [n, 4]; with `must_overlap` those that overlap, where any do."""
    return _pairs(boxes, np.array([len(boxes)]), must_overlap)


def image_pairs(boxes: np.ndarray, num_boxes: np.ndarray, must_overlap: bool = False) -> Iterator[np.ndarray]:
    """`box_filter` of many images: boxes [sum of num_boxes, 4], image by image, to pairs of their rows.

    Yields:
        int64 [k, 2], of one or more images each; the images come in their order.
    """
    ends = np.cumsum(num_boxes)
    # images cut into groups of about as many pairs
    group = np.cumsum(num_boxes**2) // _PAIRS_AT_A_TIME
    for images in np.split(np.arange(len(group)), np.flatnonzero(np.diff(group)) + 1):
        if len(images):
            first = ends[images[0]] - num_boxes[images[0]]
            yield first + _pairs(boxes[first : ends[images[-1]]], num_boxes[images], must_overlap)


def _pairs(boxes: np.ndarray, counts: np.ndarray, must_overlap: bool) -> np.ndarray:
    """`image_pairs` without groups."""
    partners = np.repeat(counts, counts)
    subjects = np.repeat(np.arange(len(boxes)), partners)
    objects = ranges(np.repeat(np.cumsum(counts) - counts, counts), partners)
    wanted = subjects != objects
    if must_overlap:
        overlap = wanted.copy()
        for low, high in np.ascontiguousarray(boxes.T).reshape(2, 2, -1).transpose(1, 0, 2):  # of x, then of y
            overlap &= np.minimum(high[subjects], high[objects]) > np.maximum(low[subjects], low[objects])
        image = np.repeat(np.arange(len(counts)), counts**2)
        any_overlap = np.bincount(image[overlap], minlength=len(counts)) > 0
        wanted = overlap | (wanted & ~any_overlap[image])
    return np.column_stack((subjects[wanted], objects[wanted]))


def bbox_overlaps(boxes1: np.ndarray, boxes2: np.ndarray, to_move: int = 1) -> np.ndarray:
    """Intersection areas [n, m] of xyxy boxes [n, 4] and [m, 4]; `to_move` is 1 for inclusive corners."""
    return overlap_areas(boxes1[:, None], boxes2[None], to_move)
