"""Annotated images of any source, and the project's own json of scene graphs.

The json is {file name: {"objects": [{"name", "box": [x1, y1, x2, y2]}], "relations": [{"subject", "predicate",
"object"}]}}; subject and object are places in `objects`, boxes are in pixels, 0-based, both corners included. Further
keys are passed over, so what tools/predict.py writes can be corrected by hand and read again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskrcnn_benchmark.data.datasets.vg_format import read_json
from maskrcnn_benchmark.utils.errors import InputError


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
    """Images, and the names of classes and predicates in the order of their numbers, without background."""

    images: list[ImageGraph]
    objects: list[str]
    predicates: list[str]


class ImageFolders:
    """Finds the images of annotations in some folders.

    Raises:
        InputError: a folder that does not exist.
    """

    def __init__(self, folders: Sequence[str | os.PathLike]):
        self.folders = [Path(folder) for folder in folders]
        self._by_stem: dict[str, Path] = {}
        for folder in self.folders:
            if not folder.is_dir():
                raise InputError(f"image folder {folder} does not exist")
            for path in sorted(folder.iterdir()):
                self._by_stem.setdefault(path.stem, path)

    def find(self, name: str) -> Path:
        """The file of this name, or else one of another suffix (VRD's list calls some png and gif files jpg).

        Raises:
            InputError: there is none.
        """
        for folder in self.folders:
            if (folder / name).is_file():
                return folder / name
        path = self._by_stem.get(Path(name).stem)
        if path is None:
            raise InputError(f"image {name} is in none of {', '.join(map(str, self.folders))}")
        return path


@contextlib.contextmanager
def entry(path: str | os.PathLike, what: str) -> Iterator[None]:
    """Turns what goes wrong while an entry of an annotation file is read into one sentence."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}, {what}: {error}") from error
    except KeyError as error:
        raise InputError(f"{path}, {what}: {error} is missing; docs/own_data.md describes the format") from error
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(f"{path}, {what}: {error}; docs/own_data.md describes the format") from error


def number(value, count: int, what: str) -> int:
    """A number from 0 below `count`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise InputError(f"{what} is {value!r}; it must be a number from 0 to {count - 1}")
    return value


def box_of(values: Sequence[float]) -> list[float]:
    """Four finite numbers."""
    box = [float(value) for value in values]
    if len(box) != 4 or not np.isfinite(box).all():
        raise InputError(f"box {list(values)} must be four numbers")
    return box


def text(value, what: str) -> str:
    """A name."""
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{what} is {value!r}; it must be a name")
    return value


def read_graphs_json(path: str | os.PathLike, folders: Sequence[str | os.PathLike]) -> Annotations:
    """Annotations in the format of this module; classes and predicates are numbered in the order of the alphabet.

    Raises:
        InputError: a missing file, or an entry that is not as described.
    """
    data, find = read_json(path), ImageFolders(folders).find
    if not isinstance(data, dict):
        raise InputError(f"{path} must hold an object with file names as keys, found a {type(data).__name__}")
    images = []
    for file_name, graph in data.items():
        with entry(path, f"image {file_name}"):
            objects = graph["objects"]
            images.append(
                ImageGraph(
                    find(file_name),
                    np.array([box_of(one["box"]) for one in objects], dtype=np.float64).reshape(-1, 4),
                    [text(one["name"], "the name of an object") for one in objects],
                    [
                        (
                            number(one["subject"], len(objects), "the subject of a relation"),
                            text(one["predicate"], "the predicate of a relation"),
                            number(one["object"], len(objects), "the object of a relation"),
                        )
                        for one in graph.get("relations", [])
                    ],
                )
            )
    return Annotations(
        images,
        sorted({name for image in images for name in image.names}),
        sorted({predicate for image in images for _, predicate, _ in image.relations}),
    )


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
