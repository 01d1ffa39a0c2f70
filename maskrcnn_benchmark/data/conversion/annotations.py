"""Annotated images of any source, and what the readers of annotation files share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.datasets.vg_lists import BACKGROUND
from maskrcnn_benchmark.utils.errors import InputError

from .tally import Tally

WHERE = "docs/own_data.md describes the format"


@dataclass
class ImageGraph:
    """An image with its objects and relations.

    Attributes:
        file: path of the image.
        boxes: float [n, 4], xyxy in pixels, 0-based, both corners included.
        names: class of each object.
        relations: (subject, predicate, object); subject and object are places in `boxes`.
        size: (width, height) as the annotations say; None where they do not.
    """

    file: Path
    boxes: np.ndarray
    names: list[str]
    relations: list[tuple[int, str, int]]
    size: tuple[int, int] | None = None


@dataclass
class Annotations:
    """Images, and the names of classes and predicates in the order of their numbers, without background.

    Attributes:
        tally: what was read, and what was left out on the way.
    """

    images: list[ImageGraph]
    objects: list[str]
    predicates: list[str]
    tally: Tally = field(default_factory=Tally)


def count_read(images: Sequence[ImageGraph], tally: Tally) -> Tally:
    """Add what the images hold to what was read."""
    tally.read.update(
        images=len(images),
        objects=sum(len(image.names) for image in images),
        relations=sum(len(image.relations) for image in images),
    )
    return tally


@contextlib.contextmanager
def entry(path: str | os.PathLike, what: str) -> Iterator[None]:
    """Says of which entry of an annotation file an error speaks."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}, {what}: {error}") from error


def by_id(path: str | os.PathLike, data: Mapping, key: str) -> dict:
    """The list of objects under a key, by their ids.

    Raises:
        InputError: an id that comes twice, also as number and as text.
    """
    places: dict = {}
    spelt: dict[str, int] = {}
    for place, one in enumerate(data[key]):
        identity = one["id"]
        first = spelt.setdefault(str(identity), place)
        if first != place:
            raise InputError(
                f"{path}, {key}: the id {identity!r} comes twice, number {first} and number {place} of the "
                "list; ids must be unique in the whole file"
            )
        places[identity] = one
    return places


def look_up(table: Mapping, value, key: str, what: str):
    """What an id stands for.

    Args:
        table: by id.
        key, what: names of the value and of the kind of thing that has the id, for the message.

    Raises:
        InputError: nothing has this id.
    """
    with contextlib.suppress(KeyError, TypeError):
        return table[value]
    kinds = {int: "numbers", str: "text"}
    other = next((kinds[type(one)] for one in table if type(one) is not type(value) and str(one) == str(value)), "")
    raise InputError(
        f"{key} {value!r} ({type(value).__name__}) is in no {what}" + (f"; ids are {other} there" if other else "")
    )


def number(value: int, count: int, what: str) -> int:
    """A number below `count`."""
    if value >= count:
        raise InputError(f"{what} is {value!r}; it must be a number from 0 to {count - 1}")
    return value


def boxes_of(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """Boxes as an array [n, 4]."""
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def name(value: str, what: str) -> str:
    """The name of a class or predicate, which cannot be that of the background."""
    if value == BACKGROUND:
        raise InputError(f"{what} is {value!r}, which is the background, number 0 of every data set; leave it out")
    return value


def split_at_random(
    images: Sequence[ImageGraph], num_val: int, num_test: int, seed: int = 0
) -> dict[str, list[ImageGraph]]:
    """`train`, `val` and `test`, each in the order of the annotations.

    Raises:
        InputError: nothing is left for training.
    """
    if num_val < 0 or num_test < 0 or num_val + num_test >= len(images):
        raise InputError(
            f"{num_val} images for validation and {num_test} for testing leave none of {len(images)} for training"
        )
    order = np.random.default_rng(seed).permutation(len(images))
    parts = np.split(order, [num_test, num_test + num_val])
    return {
        split: [images[i] for i in sorted(part)] for split, part in zip(("test", "val", "train"), parts, strict=True)
    }
