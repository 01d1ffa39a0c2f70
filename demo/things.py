"""The things of a scene, and how a new one looks."""

import random
from dataclasses import dataclass

from demo.vocabulary import OBJECTS, ObjectClass

_SKINS = ((240, 200, 170), (150, 100, 70), (200, 150, 110), (90, 60, 45))
_HAIR = ((40, 30, 25), (110, 70, 30), (220, 180, 90), (150, 150, 150))


@dataclass(eq=False)
class Thing:
    """One object of a scene; `x`, `y`, `width`, `height` are its box, `depth` grows towards the viewer."""

    name: str
    width: float
    height: float
    colour: tuple[int, int, int]
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    flip: bool
    x: float = 0.0
    y: float = 0.0
    depth: float = 0.0
    pose: str = "stand"
    painted: bool = False  # flat, in outline, as on a wall

    @property
    def kind(self) -> ObjectClass:
        return OBJECTS[self.name]

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def centre(self) -> float:
        return self.x + self.width / 2

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Corners x0, y0, x1, y1."""
        return self.x, self.y, self.right, self.bottom


def make_thing(name: str, rng: random.Random) -> Thing:
    """A thing of a class with its own size, colour and side that it faces."""
    kind = OBJECTS[name]
    size = rng.uniform(0.85, 1.15)
    red, green, blue = (max(0, min(255, channel + rng.randint(-28, 28))) for channel in kind.colour)
    width, height = kind.width * size * rng.uniform(0.92, 1.08), kind.height * size
    colour = red, green, blue
    return Thing(name, width, height, colour, rng.choice(_SKINS), rng.choice(_HAIR), rng.random() < 0.5)
