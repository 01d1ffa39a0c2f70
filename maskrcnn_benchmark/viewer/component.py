"""The component: HTML of one scene graph, and the style and script that every page with components holds once."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from maskrcnn_benchmark.utils.visualization import COLOURS

_FOLDER = Path(__file__).parent


def styles() -> str:
    """The component's style sheet, for a page's head."""
    return f"<style>{(_FOLDER / 'viewer.css').read_text(encoding='utf-8')}</style>"


def scripts() -> str:
    """The component's script, for the end of a page's body."""
    return f"<script>{(_FOLDER / 'viewer.js').read_text(encoding='utf-8')}</script>"


def image_symbol(name: str, image: Image.Image, size: tuple[int, int], longest_side: int) -> str:
    """An image as JPEG in the page, to which any number of components refer by `name`.

    Args:
        size: (width, height) in which boxes are given; the image may be smaller.
        longest_side: of what is embedded, in pixels.
    """
    image = image.copy()
    image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=88)
    uri = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    return (
        f'<svg class="sg-store" aria-hidden="true"><symbol id="{escape(name)}" viewBox="0 0 {size[0]} {size[1]}">'
        f'<image href="{uri}" width="{size[0]}" height="{size[1]}" preserveAspectRatio="none"/></symbol></svg>'
    )


def component(
    graph: Mapping[str, Any],
    symbol: str,
    title: str,
    shown: int = 12,
    colours: Sequence[int] | None = None,
    compact: bool = False,
) -> str:
    """HTML of a scene graph.

    Args:
        graph: as `SceneGraph.to_dict` gives it; scores may be missing, a relation may have a `mark`, shown behind it.
        symbol: name of the image (`image_symbol`).
        title: HTML of the heading.
        shown: relations that are shown at first.
        colours: a number for each object, by which equal objects of several graphs look equal; None: their places.
        compact: picture, graph and list below each other, for columns.
    """
    objects = [
        {"name": str(one["name"]), "box": [round(float(x), 1) for x in one["box"]], "score": one.get("score")}
        for one in graph["objects"]
    ]
    numbers = list(range(len(objects))) if colours is None else list(colours)
    for one, number in zip(objects, numbers, strict=True):
        one["number"], one["colour"] = number + 1, COLOURS[number % len(COLOURS)]
    data = {
        "width": graph["width"],
        "height": graph["height"],
        "symbol": symbol,
        "shown": shown,
        "objects": objects,
        "relations": list(graph["relations"]),
    }
    # "<" could end the script element
    content = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<section class="sg{" sg-compact" if compact else ""}"><h2>{title}</h2>'
        f'<script type="application/json">{content}</script>'
        f"<noscript>{_plain_list(data)}</noscript></section>"
    )


def _plain_list(data: Mapping[str, Any]) -> str:
    """The triplets, for browsers without scripts."""
    names = [one["name"] for one in data["objects"]]
    rows = "".join(
        f"<li>{escape(names[one['subject']])} {escape(one['predicate'])} {escape(names[one['object']])}</li>"
        for one in data["relations"][: data["shown"]]
    )
    return f"<ol>{rows}</ol>"
