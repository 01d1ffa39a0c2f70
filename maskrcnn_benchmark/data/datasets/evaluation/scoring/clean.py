"""Turns the relations of other people's files into what a protocol can count."""

from __future__ import annotations

import numpy as np

from maskrcnn_benchmark.utils.errors import InputError

from ..vg.ranks import pack
from .notes import Notes


def _of(image: str) -> str:
    """How a complaint begins; "" where the caller says which image it is."""
    return f"image {image}: " if image else ""


def checked_boxes(boxes, count: int, image: str, notes: Notes, noted: str = "") -> np.ndarray:
    """Boxes float32 [count, 4], xyxy.

    Args:
        image: the name with which a complaint begins; "" where the caller puts it there.
        noted: the name in the notes, where it is another.

    Raises:
        InputError: another shape, or coordinates that are no numbers.
    """
    try:
        boxes = np.asarray(boxes, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{_of(image)}boxes must be lists of four numbers") from error
    if not boxes.size:
        boxes = boxes.reshape(-1, 4)
    if boxes.ndim != 2 or boxes.shape[1] < 4 or len(boxes) != count:  # some files have the score as a fifth column
        raise InputError(f"{_of(image)}{count} objects have boxes of the shape {list(boxes.shape)}, expected 4 each")
    boxes = boxes[:, :4]
    if not np.isfinite(boxes).all():
        raise InputError(f"{_of(image)}a box has a coordinate that is nan or infinite")
    inverted = (boxes[:, 2:] < boxes[:, :2]).any(1).sum()
    notes.count(
        "boxes that end before they begin (x2 < x1 or y2 < y1; are they x, y, width, height?)", inverted, noted or image
    )
    return boxes


def checked_scores(scores, count: int, image: str, what: str) -> np.ndarray:
    """Scores float64 [count].

    Raises:
        InputError: another number of them, or what is no number.
    """
    try:
        scores = np.asarray(scores, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError) as error:
        raise InputError(f"{_of(image)}the scores of {what} must be numbers") from error
    if len(scores) != count:
        raise InputError(f"{_of(image)}{len(scores)} scores for {count} {what}")
    if not np.isfinite(scores).all():
        raise InputError(f"{_of(image)}a score of {what} is nan or infinite")
    return scores


def checked_places(pairs, objects: int, image: str) -> np.ndarray:
    """Places of subjects and objects, int64 [P, 2 or more].

    Raises:
        InputError: a place that is no whole number from 0 below `objects`.
    """
    places = np.asarray(pairs)
    if not places.size:
        return np.zeros((0, 3 if places.ndim < 2 or places.shape[-1] != 2 else 2), dtype=np.int64)
    if places.dtype.kind not in "iu":
        raise InputError(f"{_of(image)}subject and object of a relation must be places in the list of objects")
    wrong = (places[:, :2] < 0) | (places[:, :2] >= objects)
    if wrong.any():
        raise InputError(
            f"{_of(image)}a relation names the object {places[:, :2][wrong][0]}, but there are {objects}, numbered "
            "from 0"
        )
    return places.astype(np.int64)


def cleaned(relations: np.ndarray, scores: np.ndarray | None, image: str, notes: Notes) -> np.ndarray:
    """Relations int [L, 3], best first and each once; what was done is noted.

    Args:
        relations: int [L, 3] of (subject index, object index, predicate); predicate 0 is the background.
        scores: float [L]; None where the order of the file counts.
    """
    if scores is not None and len(scores) > 1:
        steps = np.diff(scores)
        if (steps > 0).any():
            notes.count("relations that were not sorted by score, and now are", (steps > 0).sum(), image)
            order = np.argsort(-scores, kind="stable")
            relations, scores = relations[order], scores[order]
            steps = np.diff(scores)
        notes.count("relations with the same score as the one before (their order in the file counts)",
                    (steps == 0).sum(), image)  # fmt: skip
    background = relations[:, 2] == 0
    if background.any():
        notes.count("relations with the background as predicate, left out", background.sum(), image)
        relations = relations[~background]
    notes.count("relations of an object with itself (they keep their places, and can match only such annotations)",
                (relations[:, 0] == relations[:, 1]).sum(), image)  # fmt: skip
    codes = pack(relations + 1)
    unique, first = np.unique(codes, return_index=True)
    if len(unique) < len(relations):
        notes.count("relations that are there twice (the best place counts)", len(relations) - len(unique), image)
        relations = relations[np.sort(first)]
    pairs = len(np.unique(pack(relations[:, :2])))
    notes.count("relations beyond the first of their pair (they count without graph constraint only)",
                len(relations) - pairs, image)  # fmt: skip
    return relations
