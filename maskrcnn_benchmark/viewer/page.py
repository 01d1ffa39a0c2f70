"""A page of scene graphs, one file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from html import escape
from typing import TextIO

from maskrcnn_benchmark.scene_graph import SceneGraph
from maskrcnn_benchmark.utils.files import atomic_write

from .component import component, image_symbol, scripts, styles

LONGEST_SIDE = 1200  # pixels of an embedded image


def page(graphs: Iterable[tuple[str, SceneGraph]], title: str, path: str | os.PathLike | None = None) -> str:
    """A page of named scene graphs, in their order.

    Args:
        graphs: names and graphs, which know their images; read one after the other.
        path: where the page is written, image by image; None returns it instead.

    Returns:
        the page, or "" where it was written.
    """
    if path is None:
        buffer = io.StringIO()
        _write(graphs, title, buffer)
        return buffer.getvalue()
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as out:
        _write(graphs, title, out)
    return ""


def _write(graphs: Iterable[tuple[str, SceneGraph]], title: str, out: TextIO) -> None:
    out.write(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title>{styles()}</head>\n<body class="sg-page">\n'
    )
    for number, (name, graph) in enumerate(graphs):
        symbol = f"image-{number}"
        out.write(image_symbol(symbol, graph.pixels(), (graph.width, graph.height), LONGEST_SIDE))
        out.write(component(graph.to_dict(), symbol, escape(name)) + "\n")
    out.write(f"{scripts()}</body></html>\n")
