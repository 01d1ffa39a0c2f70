"""A scene graph in words: named objects with boxes, and relations between them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.json_files import conform, json_lines, read_json

if TYPE_CHECKING:
    import networkx
    from PIL import Image


class SceneObject(NamedTuple):
    """An object.

    Attributes:
        name: of its class.
        box: x1, y1, x2, y2 in pixels of the image, 0-based, both corners included.
        score: of the class, 0 to 1.
    """

    name: str
    box: tuple[float, float, float, float]
    score: float


class Relation(NamedTuple):
    """A relation.

    Attributes:
        subject, object: places in the graph's objects.
        predicate: its name.
        score: product of the scores of subject, predicate and object.
    """

    subject: int
    predicate: str
    object: int
    score: float


@dataclass(frozen=True)
class SceneGraph:
    """Objects of an image and relations between them.

    Attributes:
        width, height: of the image in pixels.
        objects: best first, or in the order of the boxes that were given.
        relations: best first.
        image: what the graph was made from: a path, or a PIL image; None where nobody knows. For drawing only.

    >>> cat, mat = SceneObject("cat", (10, 5, 40, 30), 0.9), SceneObject("mat", (0, 20, 60, 40), 0.8)
    >>> graph = SceneGraph(64, 48, [cat, mat], [Relation(0, "on", 1, 0.6)])
    >>> graph.triplets()
    [('cat', 'on', 'mat', 0.6)]
    >>> SceneGraph.from_dict(graph.to_dict()) == graph
    True
    """

    width: int
    height: int
    objects: list[SceneObject]
    relations: list[Relation]
    image: str | os.PathLike | Image.Image | None = field(default=None, compare=False, repr=False)

    def triplets(self) -> list[tuple[str, str, str, float]]:
        """(subject, predicate, object, score) in words, best first."""
        names = [one.name for one in self.objects]
        return [
            (names[subject], predicate, names[object_], score) for subject, predicate, object_, score in self.relations
        ]

    def best(self, top_k: int | None = None, min_score: float = 0.0) -> SceneGraph:
        """The graph without objects below `min_score` and their relations, and with the first `top_k` relations."""
        kept = [i for i, one in enumerate(self.objects) if one.score >= min_score]
        place = {old: new for new, old in enumerate(kept)}
        relations = [
            one._replace(subject=place[one.subject], object=place[one.object])
            for one in self.relations
            if one.subject in place and one.object in place
        ]
        objects = [self.objects[i] for i in kept]
        return SceneGraph(self.width, self.height, objects, relations[:top_k], self.image)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, words, lists and dictionaries, as json takes them."""
        return {
            "width": self.width,
            "height": self.height,
            "objects": [{"name": one.name, "box": list(one.box), "score": one.score} for one in self.objects],
            "relations": [one._asdict() for one in self.relations],
        }

    @classmethod
    def from_dict(cls, graph: Mapping[str, Any], image: str | os.PathLike | Image.Image | None = None) -> SceneGraph:
        """The graph that `to_dict` gave; scores may be missing and are 1 then.

        Raises:
            InputError: something else.
        """
        try:
            objects = [SceneObject(one["name"], tuple(one["box"]), one.get("score", 1.0)) for one in graph["objects"]]
            relations = [
                Relation(one["subject"], one["predicate"], one["object"], one.get("score", 1.0))
                for one in graph.get("relations", [])
            ]
            ends = [end for one in relations for end in (one.subject, one.object)]
            if not all(isinstance(end, int) and 0 <= end < len(objects) for end in ends):
                raise InputError(f"a relation names an object that is not there; the graph has {len(objects)} objects")
            return cls(graph["width"], graph["height"], objects, relations, image)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"this is no scene graph: {error!r}; it needs width, height, objects and relations"
            ) from None

    def to_networkx(self) -> networkx.MultiDiGraph:
        """A networkx graph: nodes are places in `objects` with name, box and score; edges have predicate and score.

        Raises:
            InputError: networkx is not installed.
        """
        try:
            import networkx
        except ImportError:
            raise InputError("to_networkx needs networkx: pip install networkx") from None
        graph = networkx.MultiDiGraph(width=self.width, height=self.height)
        graph.add_nodes_from((place, one._asdict()) for place, one in enumerate(self.objects))
        graph.add_edges_from(
            (one.subject, one.object, {"predicate": one.predicate, "score": one.score}) for one in self.relations
        )
        return graph

    def pixels(self) -> Image.Image:
        """The image, upright, as RGB.

        Raises:
            InputError: the graph does not know its image, or the file cannot be read any more.
        """
        from maskrcnn_benchmark.data.datasets.images import load_image

        if self.image is None:
            raise InputError("this scene graph does not know its image; give it to SceneGraph.from_dict")
        if isinstance(self.image, (str, os.PathLike)):
            return load_image(self.image, upright=True)
        return self.image.convert("RGB")

    def draw(self, path: str | os.PathLike, top_k: int | None = 10) -> None:
        """Write a picture (png, pdf, svg and so on, by the suffix) of the image with boxes and the best relations."""
        from maskrcnn_benchmark.utils.visualization import image_figure, of_scene_graph, save_figure

        save_figure(image_figure(self.pixels(), *of_scene_graph(self.to_dict(), top_k)), path)

    def html(self, path: str | os.PathLike | None = None, title: str | None = None) -> str:
        """A page to look at, one file that needs no other and no network; written to `path` where that is given."""
        from maskrcnn_benchmark.viewer import page

        if title is None:
            title = Path(self.image).name if isinstance(self.image, (str, os.PathLike)) else "Scene graph"
        return page([(title, self)], title, path)


def scene_graph(
    prediction: BoxList,
    classes: Sequence[str],
    predicates: Sequence[str],
    image: str | os.PathLike | Image.Image | None = None,
    given_order: bool = False,
) -> SceneGraph:
    """A prediction in words; boxes are rounded to 0.1 pixels, scores to four digits.

    Args:
        prediction: of a relation model or a detector, in pixels of the original image.
        classes, predicates: names by number, background first.
        given_order: leave the objects in the prediction's order instead of the best first.
    """
    width, height = prediction.size
    prediction = prediction.convert("xyxy").clip_to_image(remove_empty=False)
    scores = prediction.get_field("pred_scores").float()
    order = scores.argsort(descending=True, stable=True)
    if given_order:
        order = order.sort().values
    boxes = prediction.bbox[order]
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2])  # a detector may end a box up to a pixel before it starts
    objects = [
        SceneObject(classes[label], tuple(round(x, 1) for x in box), _four_digits(score))
        for label, box, score in zip(
            prediction.get_field("pred_labels")[order].tolist(),
            boxes.tolist(),
            scores[order].tolist(),
            strict=True,
        )
    ]
    relations = list(_relations(prediction, scores, order.argsort(), predicates))
    return SceneGraph(width, height, objects, relations, image)


def _relations(prediction: BoxList, scores: Tensor, place: Tensor, predicates: Sequence[str]) -> Iterator[Relation]:
    if not prediction.has_field("rel_pair_idxs") or len(prediction.get_field("rel_pair_idxs")) == 0:
        return
    pairs, labels = prediction.get_field("rel_pair_idxs"), prediction.get_field("pred_rel_labels")
    total = prediction.get_field("pred_rel_scores").gather(1, labels[:, None])[:, 0] * scores[pairs].prod(1)
    best_first = total.argsort(descending=True, stable=True)
    for (subject, object_), label, score in zip(
        place[pairs[best_first]].tolist(), labels[best_first].tolist(), total[best_first].tolist(), strict=True
    ):
        if subject != object_:  # an image without pairs comes with the pair of an object and itself
            yield Relation(subject, predicates[label], object_, _four_digits(score))


def _four_digits(score: float) -> float:
    return float(f"{score:.4g}")


def read_scene_graphs(path: str | os.PathLike) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names of images and their graphs as dictionaries, from a file of `predict.py` or one {name: graph}.

    Images that could not be read are left out. A file in lines is read line by line.

    Args:
        path: json lines, each a graph with its `image`; a json object with names as keys; or a folder with the
            `predictions*.jsonl` of several processes.

    Raises:
        InputError: a missing file, or something else in it.
    """
    path = Path(path)
    files = sorted(path.glob("predictions*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"folder {path} has no predictions*.jsonl")
    for file in files:
        if file.suffix == ".jsonl":
            for _, graph in json_lines(file, json_schemas.GraphLine):
                if "error" not in graph:
                    name = graph.pop("image")
                    yield name, conform(graph, json_schemas.Graph, f"data file {file}, image {name}")
            continue
        for name, graph in read_json(file, json_schemas.ByName).items():
            yield name, conform(graph, json_schemas.Graph, f"data file {file}, image {name}")
