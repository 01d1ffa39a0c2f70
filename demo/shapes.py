"""What things look like: lists of primitives in the coordinates of a thing's box, x and y from 0 to 1, y down."""

from typing import NamedTuple


class Primitive(NamedTuple):
    """One stroke.

    Attributes:
        kind: "polygon", "oval", "upper half", "lower half" (of an oval), "line" or "ring".
        points: corners of the polygon or line; two opposite corners for the others.
        colour: "main", "dark", "light" (shades of the thing's own colour), "skin", or a fixed RGB.
        width: of lines and rings, relative to the smaller side of the box.
    """

    kind: str
    points: tuple[tuple[float, float], ...]
    colour: str | tuple[int, int, int]
    width: float = 0.0


Colour = str | tuple[int, int, int]

BLACK, WHITE, GLASS, WOOD, GREEN = (25, 25, 25), (250, 250, 250), (185, 225, 245), (110, 70, 30), (40, 130, 40)


def _box(x0: float, y0: float, x1: float, y1: float, colour: Colour = "main") -> Primitive:
    return Primitive("polygon", ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), colour)


def _polygon(*points: tuple[float, float], colour: Colour = "main") -> Primitive:
    return Primitive("polygon", points, colour)


def _oval(x0: float, y0: float, x1: float, y1: float, colour: Colour = "main") -> Primitive:
    return Primitive("oval", ((x0, y0), (x1, y1)), colour)


def _line(x0: float, y0: float, x1: float, y1: float, colour: Colour = "main", width: float = 0.12) -> Primitive:
    return Primitive("line", ((x0, y0), (x1, y1)), colour, width)


def _ring(x0: float, y0: float, x1: float, y1: float, colour: Colour = "main", width: float = 0.1) -> Primitive:
    return Primitive("ring", ((x0, y0), (x1, y1)), colour, width)


def _upper(x0: float, y0: float, x1: float, y1: float, colour: Colour = "main") -> Primitive:
    return Primitive("upper half", ((x0, y0), (x1, y1)), colour)


def _lower(x0: float, y0: float, x1: float, y1: float, colour: Colour = "main") -> Primitive:
    return Primitive("lower half", ((x0, y0), (x1, y1)), colour)


_HEAD = [_oval(0.28, 0.0, 0.72, 0.24, "skin"), _upper(0.27, 0.0, 0.73, 0.1, "hair")]
_TROUSERED = [*_HEAD, _box(0.22, 0.24, 0.78, 0.6)]
_DRESSED = [*_HEAD, _polygon((0.38, 0.24), (0.62, 0.24), (0.9, 0.66), (0.1, 0.66))]
_LYING = [_oval(0.0, 0.1, 0.2, 0.9, "skin"), _oval(0.0, 0.1, 0.08, 0.9, "hair"), _box(0.2, 0.15, 0.6, 0.95)]

_LEGS = {
    "stand": [_box(0.28, 0.6, 0.44, 1.0, "skin"), _box(0.56, 0.6, 0.72, 1.0, "skin")],
    "walk": [
        _polygon((0.3, 0.58), (0.5, 0.58), (0.16, 1.0), (0.0, 1.0), colour="skin"),
        _polygon((0.5, 0.58), (0.7, 0.58), (1.0, 1.0), (0.84, 1.0), colour="skin"),
    ],
    "sit": [
        _box(0.5, 0.56, 1.0, 0.72, "skin"),
        _box(0.84, 0.56, 1.0, 1.0, "skin"),
    ],
    "ride": [
        _polygon((0.25, 0.55), (0.5, 0.6), (0.16, 1.0), (0.0, 0.94), colour="skin"),
        _polygon((0.5, 0.6), (0.75, 0.55), (1.0, 0.94), (0.84, 1.0), colour="skin"),
    ],
}


def _four_legged(extra: list[Primitive], head: tuple[float, float, float, float] = (0.7, 0.0, 1.0, 0.45)) -> dict:
    """The poses of an animal that faces right; `extra` are marks on its flank and head."""
    body = [_oval(0.02, 0.2, 0.8, 0.7), _oval(*head), *extra]
    straight = [_box(x, 0.55, x + 0.09, 1.0, "dark") for x in (0.1, 0.26, 0.54, 0.68)]
    striding = [
        _polygon((x, 0.55), (x + 0.1, 0.55), (x + lean + 0.09, 1.0), (x + lean, 1.0), colour="dark")
        for x, lean in ((0.12, -0.12), (0.22, 0.16), (0.54, -0.12), (0.66, 0.16))
    ]
    return {
        "stand": [*straight, *body],
        "walk": [*striding, *body],
        "ride": [*striding, *body],
        "sit": [
            _polygon((0.02, 1.0), (0.12, 0.6), (0.55, 0.2), (0.85, 0.35), (0.8, 1.0)),
            _oval(0.55, 0.0, 0.98, 0.42),
            _box(0.68, 0.55, 0.8, 1.0, "dark"),
        ],
        "lie": [_oval(0.0, 0.3, 0.78, 1.0), _oval(0.66, 0.1, 1.0, 0.75), _box(0.1, 0.88, 0.9, 1.0, "dark")],
    }


_STRIPES = [_line(x, 0.26, x - 0.04, 0.64, BLACK, 0.07) for x in (0.2, 0.34, 0.48, 0.62)]
_WHEELS = [_oval(0.12, 0.6, 0.32, 1.0, BLACK), _oval(0.68, 0.6, 0.88, 1.0, BLACK)]
_SPOKED = [_ring(0.0, 0.38, 0.38, 1.0, width=0.12), _ring(0.62, 0.38, 1.0, 1.0, width=0.12)]

_POSED: dict[str, dict[str, list[Primitive]]] = {
    "person": {
        **{pose: [*legs, *_TROUSERED] for pose, legs in _LEGS.items()},
        "lie": [*_LYING, _box(0.6, 0.22, 1.0, 0.5, "skin"), _box(0.6, 0.62, 1.0, 0.9, "skin")],
    },
    "dress": {
        **{pose: [*legs, *_DRESSED] for pose, legs in _LEGS.items()},
        "lie": [
            *_LYING,
            _polygon((0.55, 0.2), (0.75, 0.0), (0.75, 1.0), (0.55, 0.9)),
            _box(0.75, 0.2, 1.0, 0.45, "skin"),
            _box(0.75, 0.6, 1.0, 0.85, "skin"),
        ],
    },
    "quadruped": _four_legged([_polygon((0.74, 0.1), (0.78, 0.0), (0.86, 0.04), colour="dark")]),
    "horse": _four_legged([_line(0.74, 0.02, 0.6, 0.4, BLACK, 0.12)], (0.72, 0.0, 1.0, 0.36)),
    "elephant": _four_legged([_line(0.96, 0.3, 0.98, 0.95, "main", 0.1), _oval(0.66, 0.08, 0.82, 0.4, "dark")]),
    "cow": _four_legged([_oval(0.22, 0.28, 0.42, 0.55, BLACK), _oval(0.52, 0.25, 0.66, 0.45, BLACK)]),
    "sheep": _four_legged([_oval(0.76, 0.08, 0.98, 0.42, BLACK)]),
    "zebra": _four_legged(_STRIPES, (0.72, 0.0, 1.0, 0.36)),
}

_STILL: dict[str, list[Primitive]] = {
    "bird": [
        _oval(0.1, 0.3, 0.8, 1.0),
        _oval(0.62, 0.0, 0.95, 0.5),
        _polygon((0.93, 0.18), (1.0, 0.26), (0.93, 0.34), colour=(240, 160, 0)),
        _polygon((0.15, 0.5), (0.5, 0.5), (0.0, 0.0), colour="dark"),
    ],
    "hat": [_box(0.25, 0.0, 0.75, 0.75), _box(0.0, 0.7, 1.0, 1.0, "dark")],
    "dome": [_upper(0.0, 0.0, 1.0, 1.0)],
    "cap": [_upper(0.0, 0.0, 0.75, 1.0), _box(0.6, 0.7, 1.0, 1.0, "dark")],
    "shirt": [_box(0.15, 0.0, 0.85, 1.0), _box(0.0, 0.0, 1.0, 0.4)],
    "jacket": [_box(0.1, 0.0, 0.9, 1.0), _box(0.0, 0.0, 1.0, 0.6), _line(0.5, 0.0, 0.5, 1.0, WHITE, 0.1)],
    "tie": [_polygon((0.2, 0.0), (0.8, 0.0), (1.0, 0.75), (0.5, 1.0), (0.0, 0.75))],
    "trousers": [_box(0.0, 0.0, 1.0, 0.35), _box(0.0, 0.3, 0.42, 1.0), _box(0.58, 0.3, 1.0, 1.0)],
    "shoes": [_box(0.0, 0.0, 0.42, 1.0), _box(0.58, 0.0, 1.0, 1.0)],
    "umbrella": [_line(0.5, 0.4, 0.5, 1.0, WOOD, 0.1), _upper(0.0, 0.0, 1.0, 0.55)],
    "bag": [_ring(0.22, 0.0, 0.78, 0.7, "dark"), _box(0.0, 0.35, 1.0, 1.0)],
    "book": [_box(0.0, 0.0, 1.0, 1.0), _line(0.5, 0.0, 0.5, 1.0, WHITE, 0.12)],
    "cup": [_ring(0.5, 0.15, 1.0, 0.8, "dark", 0.14), _box(0.0, 0.0, 0.72, 1.0)],
    "racket": [_line(0.5, 0.55, 0.5, 1.0, "dark", 0.2), _ring(0.0, 0.0, 1.0, 0.62, width=0.16)],
    "bottle": [_box(0.3, 0.0, 0.7, 0.4), _box(0.0, 0.35, 1.0, 1.0), _box(0.0, 0.55, 1.0, 0.8, WHITE)],
    "phone": [_box(0.0, 0.0, 1.0, 1.0), _box(0.2, 0.15, 0.8, 0.75, GLASS)],
    "laptop": [_box(0.1, 0.0, 0.9, 0.7, "dark"), _box(0.2, 0.1, 0.8, 0.6, GLASS), _box(0, 0.7, 1, 1)],
    "glass": [_polygon((0.0, 0.0), (1.0, 0.0), (0.8, 1.0), (0.2, 1.0))],
    "kite": [
        _polygon((0.5, 0.0), (1.0, 0.4), (0.5, 1.0), (0.0, 0.4)),
        _line(0.5, 0.0, 0.5, 1.0, WHITE, 0.08),
        _line(0.0, 0.4, 1.0, 0.4, WHITE, 0.08),
    ],
    "flag": [_box(0.0, 0.0, 0.1, 1.0, WOOD), _box(0.1, 0.0, 1.0, 0.6), _box(0.1, 0.2, 1.0, 0.4, WHITE)],
    "pizza": [
        _polygon((0.0, 0.0), (1.0, 0.0), (0.5, 1.0)),
        _oval(0.3, 0.15, 0.5, 0.4, (190, 30, 20)),
        _oval(0.52, 0.25, 0.7, 0.5, (190, 30, 20)),
    ],
    "banana": [_lower(0.0, -1.0, 1.0, 1.0), _lower(0.2, -0.6, 0.8, 0.3, "dark")],
    "oval": [_oval(0.0, 0.0, 1.0, 1.0)],
    "table": [_box(0, 0, 1, 0.24), _box(0.06, 0.2, 0.16, 1, "dark"), _box(0.84, 0.2, 0.94, 1, "dark")],
    "desk": [
        _box(0, 0, 1, 0.2),
        _box(0.55, 0.2, 0.94, 0.8, "dark"),
        _box(0.06, 0.2, 0.16, 1, "dark"),
        _box(0.84, 0.2, 0.94, 1, "dark"),
    ],
    "chair": [_box(0, 0, 0.16, 1), _box(0, 0.5, 1, 0.65), _box(0.84, 0.6, 1, 1, "dark"), _box(0, 0.2, 0.1, 0.5)],
    "bench": [
        _box(0, 0, 1, 0.2),
        _box(0, 0.4, 1, 0.62),
        _box(0.1, 0.0, 0.18, 1, "dark"),
        _box(0.82, 0, 0.9, 1, "dark"),
    ],
    "bed": [
        _box(0, 0, 0.08, 1, WOOD),
        _box(0.05, 0.35, 1, 0.8),
        _box(0.1, 0.15, 0.3, 0.4, WHITE),
        _box(0.94, 0.5, 1, 1, WOOD),
    ],
    "rock": [
        _polygon((0, 1), (0.1, 0.4), (0.35, 0), (0.7, 0.1), (0.95, 0.5), (1, 1)),
        _line(0.35, 0.1, 0.5, 0.7, "dark", 0.06),
    ],
    "counter": [_box(0, 0, 1, 0.2, "light"), _box(0.04, 0.2, 0.96, 1), _line(0.5, 0.2, 0.5, 1, "dark", 0.05)],
    "bowl": [_lower(0, -1, 1, 1), _box(0, 0, 1, 0.15, "dark")],
    "plate": [_oval(0, 0, 1, 1), _oval(0.2, 0.2, 0.8, 0.8, (210, 215, 225))],
    "box": [_box(0, 0, 1, 1), _line(0.5, 0, 0.5, 1, "dark", 0.1), _line(0, 0.3, 1, 0.3, "dark", 0.06)],
    "basket": [
        _polygon((0, 0), (1, 0), (0.85, 1), (0.15, 1)),
        *[_line(0, y, 1, y, "dark", 0.08) for y in (0.1, 0.4, 0.7)],
    ],
    "vase": [_box(0.3, 0, 0.7, 0.3), _oval(0, 0.2, 1, 1)],
    "car": [
        _polygon((0.2, 0.45), (0.3, 0), (0.72, 0), (0.84, 0.45)),
        _box(0.32, 0.1, 0.7, 0.4, GLASS),
        _box(0, 0.4, 1, 0.82),
        *_WHEELS,
    ],
    "bus": [_box(0, 0, 1, 0.85), _box(0.06, 0.15, 0.94, 0.42, GLASS), *_WHEELS],
    "truck": [_box(0, 0, 0.66, 0.85), _box(0.66, 0.3, 1, 0.85, "dark"), _box(0.78, 0.36, 0.96, 0.58, GLASS), *_WHEELS],
    "train": [
        _box(0, 0.1, 1, 0.85),
        *[_box(x, 0.22, x + 0.12, 0.48, GLASS) for x in (0.06, 0.26, 0.46, 0.66)],
        _polygon((0.86, 0.1), (1, 0.5), (1, 0.1), colour=WHITE),
        *[_oval(x, 0.75, x + 0.12, 1, BLACK) for x in (0.05, 0.3, 0.55, 0.8)],
    ],
    "bike": [
        *_SPOKED,
        _line(0.2, 0.7, 0.42, 0.3, width=0.1),
        _line(0.42, 0.3, 0.8, 0.7, width=0.1),
        _line(0.3, 0.05, 0.42, 0.3, width=0.1),
        _box(0.66, 0.0, 0.84, 0.12),
    ],
    "motorcycle": [
        _oval(0.0, 0.4, 0.36, 1.0, BLACK),
        _oval(0.64, 0.4, 1.0, 1.0, BLACK),
        _polygon((0.1, 0.3), (0.6, 0.25), (0.75, 0.0), (0.85, 0.05), (0.75, 0.75), (0.25, 0.75)),
    ],
    "board": [_box(0, 0, 1, 0.5), _oval(0.1, 0.4, 0.3, 1, BLACK), _oval(0.7, 0.4, 0.9, 1, BLACK)],
    "boat": [
        _polygon((0, 0.5), (1, 0.5), (0.85, 1), (0.15, 1)),
        _box(0.48, 0, 0.53, 0.5, WOOD),
        _polygon((0.55, 0.02), (0.85, 0.42), (0.55, 0.42), colour=WHITE),
    ],
    "flat": [_box(0, 0, 1, 1), _oval(0.1, 0.3, 0.2, 0.6, "dark"), _oval(0.6, 0.5, 0.72, 0.8, "dark")],
    "street": [_box(0, 0, 1, 1), *[_box(x, 0.42, x + 0.14, 0.58, WHITE) for x in (0.06, 0.32, 0.58, 0.82)]],
    "pavement": [_box(0, 0, 1, 1), *[_line(x, 0, x, 1, "dark", 0.08) for x in (0.2, 0.4, 0.6, 0.8)]],
    "track": [_box(0, 0, 1, 1), _line(0, 0.2, 1, 0.2, (70, 70, 75), 0.14), _line(0, 0.8, 1, 0.8, (70, 70, 75), 0.14)],
    "tree": [_box(0.42, 0.5, 0.58, 1, WOOD), _oval(0, 0, 1, 0.68)],
    "bush": [_box(0.44, 0.6, 0.56, 1, WOOD), _oval(0, 0.2, 0.6, 0.8), _oval(0.4, 0.0, 1, 0.7)],
    "flower": [
        _line(0.5, 0.4, 0.5, 1, GREEN, 0.16),
        _oval(0, 0, 1, 0.55),
        _oval(0.35, 0.18, 0.65, 0.38, (250, 220, 60)),
    ],
    "building": [
        _box(0, 0, 1, 1),
        *[_box(x, y, x + 0.14, y + 0.1, "light") for x in (0.12, 0.43, 0.74) for y in (0.08, 0.3, 0.52)],
    ],
    "house": [_box(0.06, 0.38, 0.94, 1), _polygon((0, 0.4), (0.5, 0), (1, 0.4), colour=(150, 50, 40))],
    "tower": [
        _polygon((0.1, 0.25), (0.9, 0.25), (1, 1), (0, 1)),
        _polygon((0, 0.25), (0.5, 0), (1, 0.25), colour="dark"),
    ],
    "fence": [*[_box(x, 0, x + 0.09, 1) for x in (0, 0.18, 0.37, 0.55, 0.73, 0.91)], _box(0, 0.3, 1, 0.45)],
    "rectangle": [_box(0, 0, 1, 1)],
    "sign": [_box(0, 0, 1, 1), _box(0.15, 0.3, 0.85, 0.45, WHITE), _box(0.15, 0.6, 0.6, 0.75, WHITE)],
    "clock": [
        _oval(0, 0, 1, 1, BLACK),
        _oval(0.1, 0.1, 0.9, 0.9),
        _line(0.5, 0.5, 0.5, 0.2, BLACK, 0.1),
        _line(0.5, 0.5, 0.72, 0.6, BLACK, 0.1),
    ],
    "lamp": [_polygon((0.3, 0), (0.7, 0), (1, 0.65), (0, 0.65)), _oval(0.32, 0.55, 0.68, 1, (255, 250, 190))],
    "window": [_box(0, 0, 1, 1, WHITE), _box(0.1, 0.1, 0.46, 0.9), _box(0.54, 0.1, 0.9, 0.9)],
    "door": [_box(0, 0, 1, 1), _oval(0.7, 0.5, 0.9, 0.62, (240, 210, 90))],
    "wheel": [_oval(0, 0, 1, 1), _oval(0.3, 0.3, 0.7, 0.7, (200, 200, 205))],
    "tail": [_polygon((0, 0.6), (0.5, 0.0), (1, 0.2), (1, 0.6), (0.55, 0.45), (0.2, 1))],
    "cloth": [
        _polygon((0, 0), (1, 0), (0.95, 1), (0.7, 0.8), (0.5, 1), (0.25, 0.8), (0.05, 1)),
        _line(0.33, 0, 0.33, 0.8, "dark", 0.08),
        _line(0.66, 0, 0.66, 0.8, "dark", 0.08),
    ],
}

# shape -> pose -> primitives; what cannot move has only the pose "stand".
SHAPES = {**_POSED, **{name: {"stand": primitives} for name, primitives in _STILL.items()}}
