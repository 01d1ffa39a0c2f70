"""Draws scene graphs: boxes with names on the image, and the relations beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

# Okabe and Ito's colours, which also people with a colour vision deficiency can tell apart, without the pale yellow.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B4513", "#444444")


def scene_graph_figure(
    images: Sequence[Image.Image],
    boxes: Sequence[np.ndarray],
    names: Sequence[Sequence[str]],
    relations: Sequence[Sequence[tuple[int, str, int]]],
    columns: int = 4,
) -> Figure:
    """A grid of images with numbered boxes and, below each, its relations as text.

    Args:
        images: RGB images.
        boxes: xyxy in pixels of each image, [n_i, 4].
        names: class name of every box.
        relations: (subject, predicate, object) of each image, subject and object as numbers of boxes.
        columns: images in a row.
    """
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    longest = max((len(r) for r in relations), default=0)
    figure = Figure(figsize=(3.4 * columns, (3.4 + 0.17 * longest) * rows), dpi=100, layout="constrained")
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
        axis.text(0, -0.02, text, transform=axis.transAxes, fontsize=8, va="top", ha="left", linespacing=1.35)
    return figure
