"""Boxes that somebody else found in an image, checked and in tensors."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from maskrcnn_benchmark.utils.errors import InputError


class Given(NamedTuple):
    """Boxes that are given with an image.

    Attributes:
        boxes: x1, y1, x2, y2 in pixels of the image, [n, 4].
        labels: class of each, int64 [n]; None where the model is to find out.
        scores: how sure they are, [n]; None for certain.
    """

    boxes: Tensor
    labels: Tensor | None = None
    scores: Tensor | None = None


def given_boxes(
    size: tuple[int, int], classes: Sequence[str], boxes: Any, labels: Any = None, scores: Any = None
) -> Given | None:
    """Boxes, labels and scores as the model takes them; None where there are no boxes.

    Args:
        size: width and height of the image in pixels.
        classes: names of the classes, the first of which has the number 1.
        boxes, labels, scores: as `SceneGraphModel.__call__` takes them.

    Raises:
        InputError: something that cannot be.
    """
    if boxes is None:
        if labels is not None or scores is not None:
            raise InputError("labels and scores are those of boxes, but there are no boxes")
        return None
    if scores is not None and labels is None:
        raise InputError("scores are those of labels, but there are no labels")
    corners = _numbers(boxes, "boxes")
    if corners.numel() == 0:
        corners = corners.reshape(0, 4)
    if corners.ndim != 2 or corners.shape[1] != 4:
        raise InputError(f"boxes have the shape {list(corners.shape)}; expected [n, 4]: x1, y1, x2, y2 of each")
    width, height = size
    wrong = (corners[:, 2:] < corners[:, :2]).any(dim=1) | (corners[:, 2:] < 0).any(dim=1)
    wrong |= (corners[:, 0] >= width) | (corners[:, 1] >= height)
    if wrong.any():
        place = int(wrong.nonzero()[0, 0])
        raise InputError(
            f"box {place} is {[round(x, 1) for x in corners[place].tolist()]}; expected x1 <= x2, y1 <= y2, and some "
            f"of it within the image of {width} x {height} pixels"
        )
    numbers = None if labels is None else _label_numbers(labels, classes)
    sure = None if scores is None else _numbers(scores, "scores")
    for name, values in (("labels", numbers), ("scores", sure)):
        if values is not None and values.shape != corners.shape[:1]:
            raise InputError(f"{len(corners)} boxes, but {name} of the shape {list(values.shape)}")
    if sure is not None and not ((sure >= 0) & (sure <= 1)).all():
        raise InputError("scores must lie between 0 and 1")
    return Given(corners, numbers, sure)


def plain(name: str) -> str:
    """A name as names are compared: small letters, words apart by one space."""
    return " ".join(name.replace("_", " ").lower().split())


def _label_numbers(labels: Any, classes: Sequence[str]) -> Tensor:
    number = {plain(name): i for i, name in enumerate(classes, 1)}
    numbers = []
    for label in labels:
        if isinstance(label, str):
            if plain(label) not in number:
                close = difflib.get_close_matches(plain(label), list(number), 1)
                raise InputError(
                    f"label {label!r} is no class of this model"
                    + (f"; did you mean {close[0]!r}?" if close else f", which has {', '.join(classes[:5])}, ...")
                )
            numbers.append(number[plain(label)])
        else:
            numbers.append(int(label))
            if not 1 <= numbers[-1] <= len(classes):
                raise InputError(f"label {numbers[-1]} is none of the model's classes, which are 1 to {len(classes)}")
    return torch.tensor(numbers, dtype=torch.int64)


def _numbers(values: Any, what: str) -> Tensor:
    try:
        numbers = torch.as_tensor(values, dtype=torch.float32).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        try:
            numbers = torch.as_tensor(np.asarray(values, dtype=np.float32))
        except (TypeError, ValueError) as error:
            raise InputError(f"{what} must be numbers: {error}") from None
    if not numbers.isfinite().all():
        raise InputError(f"{what} must be finite numbers")
    return numbers
