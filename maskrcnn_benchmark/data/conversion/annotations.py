"""Annotated images of any source, and what the readers of annotation files share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.datasets.vg_lists import BACKGROUND, has_control_characters, read_json
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
    """Turns what goes wrong while an entry of an annotation file is read into one sentence."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}, {what}: {error}") from error
    except KeyError as error:
        raise InputError(f"{path}, {what}: {error} is missing; {WHERE}") from error
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}, {what}: {error}; {WHERE}") from error


def read_object(path: str | os.PathLike, what: str) -> dict:
    """The object that a json file holds.

    Args:
        what: its keys, in words.

    Raises:
        InputError: the file is missing, damaged, or holds something else.
    """
    data = read_json(path)
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold an object with {what} as keys, found a {type(data).__name__}")
    return data


def entries(path: str | os.PathLike, data: Mapping, key: str) -> list[dict]:
    """The list of objects under a key.

    Raises:
        InputError: there is none, or it holds something else.
    """
    if key not in data:
        raise InputError(f"{path} has no {key}; {WHERE}")
    found = data[key]
    if not isinstance(found, list):
        raise InputError(f"{path}: {key} is a {type(found).__name__}, expected a list; {WHERE}")
    for place, one in enumerate(found):
        if not isinstance(one, dict):
            raise InputError(f"{path}, {key}, number {place}: {one!r} is no object; {WHERE}")
    return found


def by_id(path: str | os.PathLike, data: Mapping, key: str) -> dict:
    """The list of objects under a key, by their ids.

    Raises:
        InputError: an id that is missing, neither number nor text, or comes twice.
    """
    places: dict = {}
    found = entries(path, data, key)
    for place, one in enumerate(found):
        identity = one.get("id")
        if isinstance(identity, bool) or not isinstance(identity, (int, str)):
            said = f"the id is {identity!r}" if "id" in one else "'id' is missing"
            raise InputError(f"{path}, {key}, number {place}: {said}; it must be a number or text")
        if identity in places:
            raise InputError(
                f"{path}, {key}: the id {identity!r} comes twice, number {places[identity]} and number {place} of the "
                "list; ids must be unique in the whole file"
            )
        places[identity] = place
    return {identity: found[place] for identity, place in places.items()}


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


def number(value, count: int, what: str) -> int:
    """A number from 0 below `count`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise InputError(f"{what} is {value!r}; it must be a number from 0 to {count - 1}")
    return value


def box_of(values: Sequence[float]) -> list[float]:
    """Four finite numbers."""
    if not isinstance(values, (list, tuple)) or any(isinstance(value, (bool, str)) for value in values):
        raise InputError(f"box {values!r} must be four numbers")
    box = [float(value) for value in values]
    if len(box) != 4 or not np.isfinite(box).all():
        raise InputError(f"box {list(values)} must be four numbers")
    return box


def boxes_of(boxes: Sequence[Sequence[float]]) -> np.ndarray:
    """Boxes as an array [n, 4]."""
    return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def text(value, what: str) -> str:
    """A name: of a class, a predicate, or a file."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{what} is {value!r}; it must be a name")
    if has_control_characters(value):
        raise InputError(f"{what} is {value!r}; a name has no line ends or other control characters")
    return value


def name(value, what: str) -> str:
    """The name of a class or predicate, which cannot be that of the background."""
    if text(value, what) == BACKGROUND:
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
