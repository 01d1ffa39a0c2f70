"""The drawn world's object classes and predicates, all of them names of VG-150."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ObjectClass:
    """How one class of objects looks and how often it is seen.

    Several names may look alike (man, guy, person): VG's annotators name the same thing in many ways too.

    Attributes:
        group: what the grammar of the world calls it (`demo.world.ACTIONS`).
        shape: key of `demo.shapes.SHAPES`.
        colour: mean RGB.
        width, height: mean size in the units of a scene, in which a man is 40 high.
        commonness: relative frequency within its group.
    """

    name: str
    group: str
    shape: str
    colour: tuple[int, int, int]
    width: float
    height: float
    commonness: float


# group: name, shape, colour, width, height, commonness
_TABLE = {
    "person": [
        ("man", "person", (40, 60, 160), 18, 40, 1.0),
        ("woman", "dress", (190, 40, 120), 17, 38, 0.6),
        ("person", "person", (70, 90, 120), 17, 38, 0.45),
        ("boy", "person", (40, 150, 60), 14, 29, 0.25),
        ("girl", "dress", (225, 150, 40), 13, 28, 0.2),
        ("lady", "dress", (140, 40, 160), 17, 38, 0.07),
        ("guy", "person", (30, 110, 150), 18, 40, 0.06),
        ("child", "person", (200, 60, 40), 12, 25, 0.06),
        ("kid", "person", (210, 190, 40), 12, 25, 0.04),
    ],
    "animal": [
        ("dog", "quadruped", (140, 90, 40), 24, 17, 0.7),
        ("horse", "horse", (100, 50, 20), 38, 30, 0.6),
        ("cat", "quadruped", (110, 110, 110), 20, 14, 0.45),
        ("elephant", "elephant", (130, 130, 150), 44, 34, 0.3),
        ("cow", "cow", (235, 230, 220), 36, 25, 0.25),
        ("sheep", "sheep", (245, 240, 205), 26, 18, 0.15),
        ("zebra", "zebra", (240, 240, 240), 36, 28, 0.1),
        ("bear", "quadruped", (70, 45, 30), 34, 24, 0.06),
        ("animal", "quadruped", (170, 130, 90), 28, 20, 0.05),
    ],
    "bird": [("bird", "bird", (50, 120, 220), 14, 10, 1.0)],
    "headwear": [
        ("hat", "hat", (120, 20, 20), 14, 8, 1.0),
        ("helmet", "dome", (240, 200, 0), 12, 8, 0.5),
        ("cap", "cap", (20, 20, 200), 13, 6, 0.25),
    ],
    "top": [
        ("shirt", "shirt", (230, 80, 80), 13, 12, 1.0),
        ("jacket", "jacket", (60, 60, 60), 13, 14, 0.5),
        ("coat", "jacket", (150, 110, 70), 13, 17, 0.2),
        ("tie", "tie", (200, 0, 60), 4, 9, 0.12),
    ],
    "bottom": [
        ("pant", "trousers", (30, 30, 110), 10, 14, 1.0),
        ("short", "trousers", (200, 180, 90), 10, 8, 0.5),
        ("jean", "trousers", (70, 110, 190), 10, 14, 0.35),
    ],
    "footwear": [
        ("shoe", "shoes", (20, 20, 20), 12, 5, 1.0),
        ("boot", "shoes", (110, 60, 20), 12, 7, 0.3),
        ("sock", "shoes", (245, 245, 245), 10, 6, 0.2),
    ],
    "handheld": [
        ("umbrella", "umbrella", (160, 0, 160), 18, 18, 0.8),
        ("bag", "bag", (110, 70, 30), 11, 11, 0.8),
        ("book", "book", (200, 30, 30), 11, 9, 0.4),
        ("cup", "cup", (250, 250, 250), 8, 8, 0.4),
        ("racket", "racket", (240, 220, 50), 9, 17, 0.35),
        ("bottle", "bottle", (0, 140, 80), 5, 13, 0.3),
        ("phone", "phone", (25, 25, 30), 5, 8, 0.25),
        ("laptop", "laptop", (160, 165, 175), 13, 10, 0.2),
        ("glass", "glass", (190, 230, 250), 6, 9, 0.12),
        ("kite", "kite", (250, 90, 20), 13, 15, 0.1),
        ("flag", "flag", (220, 20, 60), 13, 14, 0.1),
    ],
    "food": [
        ("pizza", "pizza", (235, 170, 60), 13, 9, 0.6),
        ("banana", "banana", (255, 225, 30), 11, 6, 0.5),
        ("orange", "oval", (255, 140, 0), 8, 8, 0.3),
        ("fruit", "oval", (200, 30, 60), 8, 8, 0.08),
    ],
    "furniture": [
        ("table", "table", (150, 100, 50), 42, 20, 1.0),
        ("chair", "chair", (120, 60, 30), 18, 26, 0.5),
        ("bench", "bench", (170, 130, 90), 38, 14, 0.5),
        ("bed", "bed", (200, 200, 240), 48, 18, 0.35),
        ("desk", "desk", (90, 70, 60), 38, 20, 0.2),
        ("rock", "rock", (125, 125, 125), 34, 15, 0.25),
        ("counter", "counter", (190, 190, 170), 44, 22, 0.1),
    ],
    "container": [
        ("bowl", "bowl", (220, 220, 255), 20, 11, 0.6),
        ("plate", "plate", (250, 250, 250), 20, 6, 0.5),
        ("box", "box", (200, 160, 110), 24, 18, 0.4),
        ("basket", "basket", (180, 140, 60), 26, 16, 0.3),
        ("vase", "vase", (80, 80, 200), 13, 19, 0.2),
        ("pot", "bowl", (90, 90, 90), 18, 13, 0.08),
    ],
    "vehicle": [
        ("car", "car", (200, 0, 0), 42, 20, 1.0),
        ("bus", "bus", (250, 190, 0), 54, 26, 0.4),
        ("truck", "truck", (0, 100, 140), 50, 26, 0.35),
        ("train", "train", (60, 140, 60), 58, 22, 0.3),
        ("vehicle", "car", (90, 90, 110), 42, 21, 0.08),
    ],
    "rideable": [
        ("bike", "bike", (20, 20, 20), 34, 20, 0.6),
        ("motorcycle", "motorcycle", (160, 0, 30), 36, 20, 0.5),
        ("skateboard", "board", (90, 0, 90), 24, 6, 0.45),
        ("surfboard", "oval", (240, 250, 250), 40, 7, 0.3),
        ("board", "board", (200, 120, 0), 26, 6, 0.06),
    ],
    "boat": [("boat", "boat", (140, 70, 20), 46, 20, 1.0)],
    "ground": [
        ("street", "street", (90, 90, 95), 62, 10, 1.0),
        ("sidewalk", "pavement", (180, 175, 170), 58, 9, 0.5),
        ("beach", "flat", (235, 215, 150), 62, 12, 0.3),
        ("snow", "flat", (250, 252, 255), 62, 12, 0.3),
        ("track", "track", (120, 90, 60), 62, 9, 0.25),
        ("hill", "dome", (70, 150, 60), 60, 20, 0.2),
    ],
    "plant": [
        ("tree", "tree", (30, 120, 30), 28, 44, 1.0),
        ("flower", "flower", (250, 80, 160), 9, 15, 0.4),
        ("plant", "bush", (60, 180, 60), 13, 16, 0.35),
    ],
    "structure": [
        ("building", "building", (170, 120, 110), 44, 56, 1.0),
        ("fence", "fence", (160, 140, 110), 48, 18, 0.5),
        ("pole", "rectangle", (110, 110, 120), 6, 50, 0.45),
        ("house", "house", (215, 190, 150), 44, 40, 0.3),
        ("tower", "tower", (190, 170, 140), 20, 58, 0.08),
        ("post", "rectangle", (150, 120, 90), 6, 40, 0.08),
    ],
    "fixture": [
        ("sign", "sign", (0, 130, 60), 14, 10, 0.8),
        ("clock", "clock", (250, 250, 250), 11, 11, 0.4),
        ("lamp", "lamp", (255, 245, 150), 10, 11, 0.3),
        ("light", "lamp", (250, 210, 90), 9, 10, 0.25),
    ],
    "part": [
        ("window", "window", (150, 210, 250), 9, 10, 1.0),
        ("wheel", "wheel", (25, 25, 25), 10, 10, 0.6),
        ("door", "door", (100, 50, 20), 9, 16, 0.4),
        ("tail", "tail", (90, 40, 10), 12, 7, 0.35),
        ("tire", "wheel", (60, 60, 65), 10, 10, 0.12),
    ],
    "cloth": [
        ("towel", "cloth", (120, 200, 190), 22, 10, 0.7),
        ("curtain", "cloth", (180, 60, 80), 20, 16, 0.3),
    ],
}

OBJECTS = {row[0]: ObjectClass(row[0], group, *row[1:]) for group, rows in _TABLE.items() for row in rows}

OBJECT_NAMES = sorted(OBJECTS)

COLOURS = {
    "white": (245, 245, 245),
    "black": (25, 25, 25),
    "grey": (125, 125, 130),
    "blue": (50, 80, 180),
    "green": (40, 130, 60),
    "red": (200, 30, 40),
    "brown": (120, 75, 35),
    "yellow": (245, 215, 50),
    "orange": (245, 145, 20),
    "pink": (235, 90, 160),
    "purple": (130, 30, 150),
    "tan": (205, 170, 125),
}

ATTRIBUTE_NAMES = sorted([*COLOURS, "standing", "sitting", "walking", "laying", "riding", "painted"])


def members(names: str) -> list[str]:
    """Classes that a string of group names and class names stands for, in the order given and without repetition."""
    found: dict[str, None] = {}
    for word in names.split():
        classes = [row[0] for row in _TABLE[word]] if word in _TABLE else [word]
        found.update(dict.fromkeys(classes))
    return list(found)
