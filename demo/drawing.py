"""From a scene to pixels: each thing as its list of primitives, then the marks that connect things."""

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from demo.scenes import Mark, Scene
from demo.shapes import SHAPES
from demo.things import Thing

SUPERSAMPLING = 3  # drawn so many times larger, then reduced: smooth edges

_RED, _BLACK, _WHITE, _ROOT = (230, 20, 20), (30, 30, 30), (250, 250, 250), (100, 60, 25)


class Canvas:
    """An image that is drawn on in scene coordinates (pixels of the finished picture)."""

    def __init__(self, width: int, height: int, background: tuple[int, int, int]):
        self.image = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING), background)
        self._draw = ImageDraw.Draw(self.image)

    @staticmethod
    def _up(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x * SUPERSAMPLING, y * SUPERSAMPLING) for x, y in points]

    def line(self, points: list[tuple[float, float]], colour: tuple[int, int, int], width: float) -> None:
        self._draw.line(self._up(points), fill=colour, width=max(1, round(width * SUPERSAMPLING)), joint="curve")

    def dot(self, x: float, y: float, radius: float, colour: tuple[int, int, int]) -> None:
        (x0, y0), (x1, y1) = self._up([(x - radius, y - radius), (x + radius, y + radius)])
        self._draw.ellipse((x0, y0, x1, y1), fill=colour)

    def thing(self, thing: Thing) -> None:
        """Draw a thing within its box."""
        shades = {
            "main": thing.colour,
            "dark": _mix(thing.colour, (0, 0, 0), 0.4),
            "light": _mix(thing.colour, (255, 255, 255), 0.5),
            "skin": thing.skin,
            "hair": thing.hair,
        }
        poses = SHAPES[thing.kind.shape]
        outline = _mix(thing.colour, (0, 0, 0), 0.65)
        smaller = min(thing.width, thing.height)
        for kind, points, colour, width in poses.get(thing.pose, poses["stand"]):
            fill: tuple[int, int, int] | None = shades[colour] if isinstance(colour, str) else colour
            corners = [
                (thing.x + thing.width * (1 - x if thing.flip else x), thing.y + thing.height * y) for x, y in points
            ]
            if thing.painted:
                fill, edge = None, _mix(thing.colour, (255, 255, 255), 0.15)
            else:
                edge = outline
            self._primitive(kind, self._up(corners), fill, edge, max(1, round(width * smaller * SUPERSAMPLING)))

    def _primitive(
        self,
        kind: str,
        points: list[tuple[float, float]],
        fill: tuple[int, int, int] | None,
        edge: tuple[int, int, int],
        width: int,
    ) -> None:
        stroke = SUPERSAMPLING * 2 // 3 if fill else SUPERSAMPLING * 4 // 3
        if kind == "polygon":
            self._draw.polygon(points, fill=fill, outline=edge, width=stroke)
            return
        if kind == "line":
            self._draw.line(points, fill=fill or edge, width=width)
            return
        xs, ys = zip(*points, strict=True)
        box = (min(xs), min(ys), max(xs), max(ys))
        if kind == "oval":
            self._draw.ellipse(box, fill=fill, outline=edge, width=stroke)
        elif kind == "ring":
            self._draw.ellipse(box, outline=fill or edge, width=width)
        elif kind == "upper half":
            whole = (box[0], box[1], box[2], 2 * box[3] - box[1])
            self._draw.pieslice(whole, 180, 360, fill=fill, outline=edge, width=stroke)
        else:
            self._draw.pieslice(box, 0, 180, fill=fill, outline=edge, width=stroke)

    def mark(self, mark: Mark) -> None:
        MARKS[mark.kind](self, mark.subject, mark.object)


def _mix(colour: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue


def _arm(canvas: Canvas, s: Thing, o: Thing) -> None:
    reach = min(max(s.centre, o.x + 0.2 * o.width), o.right - 0.2 * o.width)
    canvas.line([(s.centre, s.y + s.height * 0.32), (reach, o.y + o.height / 2)], s.skin, 2.2)


def _arms(canvas: Canvas, s: Thing, o: Thing) -> None:
    for x in (0.15, 0.85):
        canvas.line([(s.x + s.width * x, s.y + s.height * 0.34), (s.x + s.width * x, o.bottom - 1)], s.skin, 2.2)


def _bite(canvas: Canvas, s: Thing, o: Thing) -> None:
    for dx, dy in ((-0.8, 0.9), (0.1, 1.3), (0.9, 1.0), (-0.3, 1.8), (0.6, 1.9)):
        canvas.dot(o.centre + dx * o.width * 0.4, o.bottom + dy, 0.9, o.colour)


def _sight(canvas: Canvas, s: Thing, o: Thing) -> None:
    eye = (s.centre + s.width * (-0.3 if s.flip else 0.3), s.y + s.height * 0.14)
    target = (min(max(s.centre, o.x), o.right), o.y + o.height / 2)
    for step in range(1, 8):
        x, y = (a + (b - a) * step / 7 for a, b in zip(eye, target, strict=True))
        canvas.dot(x, y, 1.0, _RED)


def _string(canvas: Canvas, s: Thing, o: Thing) -> None:
    canvas.line([(s.centre, s.y + 1), (s.centre, o.bottom - 0.35 * o.height)], _BLACK, 1.0)


def _bolts(canvas: Canvas, s: Thing, o: Thing) -> None:
    for x in (s.x, s.right):
        for y in (s.y, s.bottom):
            canvas.dot(x, y, 1.5, _BLACK)


def _roots(canvas: Canvas, s: Thing, o: Thing) -> None:
    for dx in (-5, 0, 5):
        canvas.line([(s.centre, s.bottom - 2), (s.centre + dx, s.bottom + 4)], _ROOT, 1.2)


def _prop(canvas: Canvas, s: Thing, o: Thing) -> None:
    toward = s.right if o.centre > s.centre else s.x
    canvas.line([(s.centre, s.bottom), (toward, s.y)], _BLACK, 1.6)


def _strap(canvas: Canvas, s: Thing, o: Thing) -> None:
    canvas.line([(s.centre, s.bottom - 1), (s.centre, o.y + o.height * 0.7)], _RED, 2.0)


def _kerb(canvas: Canvas, s: Thing, o: Thing) -> None:
    for x in (s.x - 1, s.right + 1):
        canvas.line([(x, s.bottom - 4), (x, s.bottom + 3)], _WHITE, 1.6)


def _dots(canvas: Canvas, s: Thing, o: Thing) -> None:
    for step in range(8):
        canvas.dot(o.x + o.width * (step + 0.5) / 8, o.y + 1, 0.9, _BLACK)


def _ripples(canvas: Canvas, s: Thing, o: Thing) -> None:
    for dx in (-0.6, 0.6):
        x = s.centre + dx * s.width
        canvas.line([(x - 4, o.y + 2), (x, o.y - 1), (x + 4, o.y + 2)], (90, 150, 220), 1.2)


def _flakes(canvas: Canvas, s: Thing, o: Thing) -> None:
    for step in range(6):
        x = s.x + s.width * (step + 0.5) / 6
        canvas.dot(x, o.bottom + (1 + step % 3) * s.height * 0.12, 1.1, o.colour)


MARKS: dict[str, Callable[[Canvas, Thing, Thing], None]] = {
    "arm": _arm,
    "arms": _arms,
    "bite": _bite,
    "sight": _sight,
    "string": _string,
    "bolts": _bolts,
    "roots": _roots,
    "prop": _prop,
    "strap": _strap,
    "kerb": _kerb,
    "dots": _dots,
    "ripples": _ripples,
    "flakes": _flakes,
}


def draw_scene(scene: Scene, rng: random.Random) -> Image.Image:
    """The picture of a scene, RGB, with some noise of the sensor."""
    canvas = Canvas(scene.width, scene.height, scene.background)
    for _ in range(6):  # a background that is not empty
        shade = _mix(scene.background, (rng.randint(120, 255),) * 3, 0.15)
        canvas.dot(rng.uniform(0, scene.width), rng.uniform(0, scene.height), rng.uniform(4, 30), shade)
    for cluster in scene.clusters:
        for thing in sorted(cluster.things, key=lambda thing: thing.depth):
            canvas.thing(thing)
        for mark in cluster.marks:
            canvas.mark(mark)
    pixels = np.asarray(canvas.image.reduce(SUPERSAMPLING), dtype=np.float32)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 6, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
