"""Draws scene graphs: boxes and relations on the image, the graph alone, and predictions beside the ground truth.

Names are object classes, relations (subject, predicate, object) with subject and object as places in the boxes.
"""

from __future__ import annotations

import bisect
import functools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path as Curve
from matplotlib.patheffects import Normal, Stroke
from PIL import Image

from .files import atomic_write
from .fonts import cover, told_once
from .layout import place_label, predicate_layout

# Okabe and Ito's colours, which also people with a colour vision deficiency can tell apart, without the pale yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B4513", "#444444")
HIT, MISS, NEUTRAL = "#0072B2", "#D55E00", "#444444"
DPI = 100
_LONGER_SIDE = 1000  # pixels of a drawn image
_FONT_SIZE = 9.5
_APART = 26.0  # pixels between the names of objects, so that predicates find room between them
_GRAPH_EDGE, _GRAPH_GAP = 85.0, 16.0  # pixels from an object to a predicate, and between nodes at least
_PAD = 3.0  # pixels around the text of a label
_BEND = 0.12  # of an arrow, by its length: arrows there and back are two

Relation = tuple[int, str, int]


def of_scene_graph(graph: dict, top_k: int | None = None) -> tuple[np.ndarray, list[str], list[Relation]]:
    """Boxes, names and the first `top_k` relations of a scene graph as predict.py writes it, for the functions here.

    Objects without relations among these are left out, unless there are no relations at all.
    """
    objects = graph["objects"]
    relations = graph["relations"][:top_k]
    used = sorted({end for one in relations for end in (one["subject"], one["object"])})
    used = used or list(range(len(objects)))[:top_k]
    place = {old: new for new, old in enumerate(used)}
    return (
        np.array([objects[i]["box"] for i in used], dtype=float).reshape(-1, 4),
        [objects[i]["name"] for i in used],
        [(place[one["subject"]], one["predicate"], place[one["object"]]) for one in relations],
    )


def image_figure(
    image: Image.Image,
    boxes: np.ndarray,
    names: Sequence[str],
    relations: Sequence[Relation],
    box_colours: Sequence[str] | None = None,
    relation_colours: Sequence[str] | None = None,
) -> Figure:
    """An image with named boxes, and arrows from subject to object between the names.

    Args:
        boxes: xyxy in pixels of the image, [n, 4].
        box_colours, relation_colours: of each box and relation; None: boxes in turn, relations as their subjects.
    """
    scale = _LONGER_SIDE / max(image.size)
    size = tuple(max(side * scale, 120.0) for side in image.size)
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI)
    axis = figure.add_axes((0, 0, 1, 1))
    _draw_scene(_Panel(axis, size), image, boxes, names, relations, box_colours, relation_colours)
    return figure


def graph_figure(names: Sequence[str], relations: Sequence[Relation]) -> Figure:
    """The graph alone: objects as coloured nodes, numbered where a name comes twice, predicates on the arrows.

    Args:
        names: of each object.
    """
    names = number_names(names)
    merged = _merge(relations)
    texts = [*names, *(", ".join(predicates) for predicates in merged.values())]
    sizes = [_text_size(text) for text in texts] or [_text_size("no objects")]
    centres = predicate_layout(len(names), list(merged), sizes[: len(texts)], _GRAPH_EDGE, _GRAPH_GAP) + 20
    if len(texts):
        width, height = (centres + np.array(sizes) / 2).max(0) + 20
    else:
        width, height = sizes[0][0] + 40, sizes[0][1] + 40
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    panel = _Panel(figure.add_axes((0, 0, 1, 1)), (width, height))
    if not texts:
        panel.text("no objects", (20, 20, 20 + sizes[0][0], 20 + sizes[0][1]), "white", "black")
    rectangles = [(*(c - np.array(s) / 2), *(c + np.array(s) / 2)) for c, s in zip(centres, sizes, strict=False)]
    for place, (subject, object_) in enumerate(merged, len(names)):
        colour = COLOURS[subject % len(COLOURS)]
        panel.line(rectangles[subject], rectangles[place], colour, arrow=False)
        panel.line(rectangles[place], rectangles[object_], colour, arrow=True)
    for place, (text, rectangle) in enumerate(zip(texts, rectangles, strict=True)):
        if place < len(names):
            panel.text(text, rectangle, COLOURS[place % len(COLOURS)])
        else:
            subject = list(merged)[place - len(names)][0]
            panel.text(text, rectangle, "white", edge=COLOURS[subject % len(COLOURS)])
    return figure


@dataclass
class Side:
    """One side of a comparison.

    Attributes:
        title: above the image.
        boxes, names: as in `image_figure`.
        relations: those that are listed and drawn.
        found: whether each box, and each relation, has its counterpart on the other side.
        notes: what stands behind each relation in the list, such as its rank.
    """

    title: str
    boxes: np.ndarray
    names: Sequence[str]
    relations: Sequence[Relation]
    found_boxes: Sequence[bool]
    found: Sequence[bool]
    notes: Sequence[str] = field(default_factory=list)


def side_by_side_figure(image: Image.Image, sides: Sequence[Side], max_drawn: int = 10, max_listed: int = 20) -> Figure:
    """An image several times side by side, each with its own graph; hits blue, misses orange, relations listed below.

    Args:
        max_drawn: arrows in each picture; the others are only listed.
        max_listed: lines below each picture.
    """
    scale = 0.8 * _LONGER_SIDE / max(image.size)
    size = tuple(max(side * scale, 300.0) for side in image.size)
    line = _text_size("x")[1]
    most = max((len(side.relations) for side in sides), default=0)
    listed = min(most, max_listed) + (most > max_listed)
    gap, title_height, list_height = 16.0, 28.0, line * max(listed, 1) + 8
    total = (len(sides) * size[0] + (len(sides) - 1) * gap, title_height + size[1] + list_height)
    figure = Figure(figsize=(total[0] / DPI, total[1] / DPI), dpi=DPI)
    for number, side in enumerate(sides):
        left = number * (size[0] + gap)
        axis = figure.add_axes((left / total[0], list_height / total[1], size[0] / total[0], size[1] / total[1]))
        boxes_found = list(side.found_boxes)
        used = sorted({end for s, _, o in side.relations[:max_drawn] for end in (s, o)}) or range(len(side.names))
        place = {old: new for new, old in enumerate(used)}
        numbered = number_names(side.names)
        _draw_scene(
            _Panel(axis, size),
            image,
            np.asarray(side.boxes).reshape(-1, 4)[list(used)],
            [numbered[i] for i in used],
            [(place[s], p, place[o]) for s, p, o in side.relations[:max_drawn]],
            [HIT if boxes_found[i] else MISS for i in used],
            [HIT if hit else MISS for hit in side.found[:max_drawn]],
            numbered=True,
        )
        title_y = 1 - title_height / 2 / total[1]
        figure.text(
            (left + 3) / total[0], title_y, side.title, fontsize=11, va="center", weight="bold", parse_math=False
        )
        notes = [*side.notes, *[""] * (len(side.relations) - len(side.notes))]
        lines = [
            (f"{numbered[s]}  {predicate}  {numbered[o]}   {note}", HIT if hit else MISS)
            for (s, predicate, o), hit, note in zip(side.relations, side.found, notes, strict=True)
        ]
        if len(lines) > max_listed:
            rest = len(lines) - max_listed
            lines = [*lines[:max_listed], (f"and {rest} more", NEUTRAL)]
        for row, (text, colour) in enumerate(lines or [("no relations", NEUTRAL)]):
            y = 1 - (title_height + size[1] + 6 + line * row) / total[1]
            text = _shorten(text, size[0] - 3)
            figure.text((left + 3) / total[0], y, text, color=colour, fontsize=_FONT_SIZE, va="top", parse_math=False)
    return figure


def scene_graph_figure(
    images: Sequence[Image.Image],
    boxes: Sequence[np.ndarray],
    names: Sequence[Sequence[str]],
    relations: Sequence[Sequence[Relation]],
    columns: int = 4,
) -> Figure:
    """A grid of images with numbered boxes and, below each, its relations as text.

    Args:
        images: RGB images.
        boxes: xyxy in pixels of each image, [n_i, 4].
        names: class name of every box.
        relations: of each image.
        columns: images in a row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    longest = max((len(r) for r in relations), default=0)
    figure = Figure(figsize=(3.4 * columns, (3.4 + 0.17 * longest) * rows), dpi=DPI, layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axis in axes:
        axis.set_axis_off()
        axis.set_anchor("N")
    for axis, image, image_boxes, image_names, triplets in zip(axes, images, boxes, names, relations, strict=False):
        axis.imshow(image)
        for number, (x1, y1, x2, y2) in enumerate(np.asarray(image_boxes).tolist()):
            colour = COLOURS[number % len(COLOURS)]
            axis.plot([x1, x2, x2, x1, x1], [y1, y1, y2, y2, y1], color=colour, linewidth=1.2)
            label = {"facecolor": colour, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
            axis.text(x1, y1, str(number + 1), color="white", fontsize=6.5, va="top", ha="left", bbox=label)
        lines = [f"{s + 1} {image_names[s]}  {predicate}  {o + 1} {image_names[o]}" for s, predicate, o in triplets]
        text = "\n".join(lines) or "no relations"
        cover([text])
        axis.text(
            0, -0.02, text, transform=axis.transAxes, fontsize=8, va="top", ha="left", linespacing=1.35,
            parse_math=False,
        )  # fmt: skip
    return figure


def save_figure(figure: Figure, path: str | os.PathLike) -> None:
    """Write a figure in the format that the suffix of the path names; missing folders are made."""
    with atomic_write(path) as temporary, told_once():
        figure.savefig(temporary, dpi=DPI)


def number_names(names: Sequence[str]) -> list[str]:
    """Names that come more than once get a number behind: person 1, hat, person 2."""
    total, count = Counter(names), Counter[str]()
    numbered = []
    for name in names:
        count[name] += 1
        numbered.append(f"{name} {count[name]}" if total[name] > 1 else name)
    return numbered


# -- parts -----------------------------------------------------------------------------------------------------------
def _draw_scene(panel, image, boxes, names, relations, box_colours, relation_colours, numbered=False) -> None:
    """An image with boxes, names and relations on a panel."""
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    boxes = (boxes + [0, 0, 1, 1]) * (np.tile(panel.size, 2) / np.tile(image.size, 2))
    names = [_shorten(name, panel.size[0]) for name in (names if numbered else number_names(names))]
    box_colours = list(box_colours or [COLOURS[i % len(COLOURS)] for i in range(len(names))])
    colour_of: dict[tuple[int, int], str] = {}
    for number, (subject, _, object_) in enumerate(relations):
        colour = relation_colours[number] if relation_colours else box_colours[subject]
        if colour == HIT or (subject, object_) not in colour_of:  # one hit among a pair's predicates makes it one
            colour_of[subject, object_] = colour
    panel.axis.imshow(image, extent=(0, panel.size[0], panel.size[1], 0), interpolation="bilinear", aspect="auto")
    for box, colour in zip(boxes, box_colours, strict=True):
        panel.box(box, colour)
    # small boxes first: they have the least room for their name
    rectangles: dict[int, tuple] = {}
    for place in np.argsort((boxes[:, 2:] - boxes[:, :2]).prod(1), kind="stable").tolist():
        rectangles[place] = panel.label(names[place], _places_at_box(boxes[place], _text_size(names[place])), _APART)
    curves = {}
    for ends in _merge(relations):
        curves[ends] = panel.arrow(rectangles[ends[0]], rectangles[ends[1]], colour_of[ends])
    for place, rectangle in rectangles.items():
        panel.text(names[place], rectangle, box_colours[place])
    for ends, predicates in _merge(relations).items():
        text = _shorten(", ".join(predicates), panel.size[0])
        place = panel.label(text, _places_on_curve(curves[ends], _text_size(text)))
        panel.text(text, place, "white", edge=colour_of[ends])


def _merge(relations: Sequence[Relation]) -> dict[tuple[int, int], list[str]]:
    """The predicates of each pair, in the order of their first appearance."""
    merged: dict[tuple[int, int], list[str]] = {}
    for subject, predicate, object_ in relations:
        some = merged.setdefault((subject, object_), [])
        if predicate not in some:
            some.append(predicate)
    return merged


class _Panel:
    """An axis whose coordinates are pixels from the upper left corner, and the labels that it holds."""

    def __init__(self, axis: Axes, size: tuple[float, float]):
        self.axis, self.size = axis, size
        self.taken: list[tuple[float, float, float, float]] = []
        axis.set_axis_off()
        axis.set_xlim(0, size[0])
        axis.set_ylim(size[1], 0)

    def label(self, text: str, places, gap: float = 0.0) -> tuple[float, float, float, float]:
        """Reserve room for a text at the best of some places, with a gap to what is there."""
        taken = np.array(self.taken).reshape(-1, 4) + [-gap, -gap, gap, gap]
        rectangle = place_label(_text_size(text), places, taken, self.size)
        self.taken.append(rectangle)
        return rectangle

    def text(self, text: str, rectangle, face: str, colour: str | None = None, edge: str | None = None) -> None:
        left, top, right, bottom = rectangle
        self.axis.add_patch(
            FancyBboxPatch(
                (left + 2, top + 2), right - left - 4, bottom - top - 4, boxstyle="round,pad=1.5",
                facecolor=face, edgecolor=edge or "white", linewidth=1.2 if edge else 0.8, zorder=4,
            )
        )  # fmt: skip
        self.axis.text(
            (left + right) / 2, (top + bottom) / 2, text, color=colour or _readable_on(face), fontsize=_FONT_SIZE,
            ha="center", va="center_baseline", zorder=5, parse_math=False,
        )  # fmt: skip

    def box(self, box, colour: str) -> None:
        """A rectangle that stands out from light and from dark images."""
        x1, y1, x2, y2 = np.clip(box, 1.5, np.tile(self.size, 2) - 1.5)
        patch = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=1.8, zorder=2)
        patch.set_path_effects([Stroke(linewidth=3.4, foreground="white"), Normal()])
        self.axis.add_patch(patch)

    def arrow(self, start, end, colour: str) -> np.ndarray:
        """A bent arrow between two rectangles; the part of it that is seen, [n, 2]."""
        points = _between(start, end, _BEND)
        if (points < 0).any() or (points > self.size).any():
            points = _between(start, end, -_BEND)
        self._curve(points, colour, "-|>")
        return points

    def line(self, start, end, colour: str, arrow: bool) -> None:
        """A straight line between two rectangles."""
        self._curve(_between(start, end, 0.0), colour, "-|>" if arrow else "-")

    def _curve(self, points: np.ndarray, colour: str, style: str) -> None:
        patch = FancyArrowPatch(
            path=Curve(points), arrowstyle=style, mutation_scale=11, color=colour, linewidth=1.6, zorder=3
        )
        patch.set_path_effects([Stroke(linewidth=3.4, foreground="white"), Normal()])
        self.axis.add_patch(patch)


def _between(start, end, bend: float) -> np.ndarray:
    """Points [n, 2] of a curve from one rectangle to the other, without what lies inside of them."""
    first, last = ((np.array(r[:2]) + r[2:]) / 2 for r in (start, end))
    across = last - first
    middle = (first + last) / 2 + bend * 2 * np.array([across[1], -across[0]])
    t = np.linspace(0, 1, 101)[:, None]
    points = (1 - t) ** 2 * first + 2 * t * (1 - t) * middle + t**2 * last
    outside = np.ones(len(points), dtype=bool)
    for left, top, right, bottom in (start, end):
        inside = (points[:, 0] > left - 1) & (points[:, 0] < right + 1)
        outside &= ~(inside & (points[:, 1] > top - 1) & (points[:, 1] < bottom + 1))
    seen = np.flatnonzero(outside)
    return points[seen[0] : seen[-1] + 1] if len(seen) > 1 else points[[0, -1]]


def _places_at_box(box, size: tuple[float, float]):
    """Corners for the name of a box: at the middle of its upper edge, along its edges, and then inside and beyond."""
    (x1, y1, x2, y2), (width, height) = box, size
    columns = ((x1 + x2 - width) / 2, x1, x2 - width)
    for y in (y1 - height, y1, y2, y2 - height):
        yield from ((x, y) for x in columns)
    for y in np.arange(y1 + height, y2 - 2 * height, height):
        yield from ((x, y) for x in columns)
    for step in range(1, 8):
        yield from ((x, y) for y in (y1 - (step + 1) * height, y2 + step * height) for x in columns)


def _places_on_curve(points: np.ndarray, size: tuple[float, float]):
    """Corners for a label along a curve: from its middle outwards, then beside it."""
    order = sorted(np.linspace(0.12, 0.88, 20), key=lambda t: abs(t - 0.5))
    for shift in (0.0, -1.0, 1.0, -2.0, 2.0):
        for t in order:
            x, y = points[round(t * (len(points) - 1))]
            yield x - size[0] / 2, y - size[1] / 2 + shift * size[1]


@functools.lru_cache(maxsize=4096)
def _text_size(text: str) -> tuple[float, float]:
    """Width and height of a label with the space around its text, in pixels."""
    cover([text])
    renderer = FigureCanvasAgg(Figure(figsize=(1, 1), dpi=DPI)).get_renderer()
    with told_once():
        width, _, _ = renderer.get_text_width_height_descent(text, FontProperties(size=_FONT_SIZE), False)
    return width + 2 * (_PAD + 2), _FONT_SIZE * DPI / 72 * 1.2 + 2 * _PAD


def _shorten(text: str, width: float) -> str:
    """The text, with dots for its end where it is wider than that many pixels."""
    if _text_size(text)[0] <= width:
        return text
    fits = bisect.bisect_right(range(len(text)), width, key=lambda length: _text_size(text[:length] + "…")[0])
    return text[: max(fits - 1, 0)] + "…"


def _readable_on(colour: str) -> str:
    """Black or white, whichever has more contrast to a colour."""
    red, green, blue = to_rgb(colour)
    return "black" if 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 > 0.18 else "white"
