"""Where the object of each action goes, so that the picture shows the action, and what mark connects the two."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from demo.things import Thing


@dataclass
class Placing:
    """What a placement works on: the subject stands already, the object is put where the action wants it."""

    subject: Thing
    object: Thing
    side: int  # -1: the object of a side action goes left, 1: right
    rng: random.Random

    def between(self, low: float, high: float) -> float:
        return self.rng.uniform(low, high)

    def below(self, overlap: float, depth: float = -1, drift: float = 0.25) -> None:
        """Under the subject's feet, at least about as wide as the subject."""
        s, o = self.subject, self.object
        o.width = max(o.width, s.width * self.between(0.95, 1.2))
        o.x = s.centre - o.width / 2 + self.between(-drift, drift) * max(0.0, o.width - s.width)
        o.y = s.bottom - overlap
        o.depth = s.depth + depth

    def beside(self, gap: float, opposite: bool = False) -> None:
        """Left or right of the subject, feet at about the same height."""
        s, o = self.subject, self.object
        o.x = s.right + gap if (self.side > 0) != opposite else s.x - o.width - gap
        o.y = s.bottom - o.height + self.between(-3, 3)
        o.depth = s.depth

    def at_hand(self, height: float, gap: float) -> None:
        """Where an arm reaches: on the side that side actions leave free."""
        s, o = self.subject, self.object
        self.beside(gap, opposite=True)
        o.y = s.y + s.height * height - o.height / 2
        o.depth = s.depth + 1


def _stand(p: Placing) -> None:
    p.below(p.between(1, 3))
    if p.object.name == "chair":
        p.object.y = p.subject.bottom - p.object.height * 0.5
    if p.object.name == "bed":
        p.object.y = p.subject.bottom - p.object.height * 0.4


def _wade(p: Placing) -> None:
    p.below(p.subject.height * p.between(0.2, 0.3), depth=1)


def _ride(p: Placing) -> None:
    s, o = p.subject, p.object
    o.x, o.y, o.depth = s.centre - o.width / 2 + p.between(-3, 3), s.y + s.height * p.between(0.6, 0.72), s.depth - 1


def _back(p: Placing) -> None:
    s, o = p.subject, p.object
    rear = 0.22 if not o.flip else 0.78  # animals face right unless flipped
    o.x, o.y, o.depth = s.centre - o.width * rear, s.bottom - p.between(2, 4), s.depth - 1


def _park(p: Placing) -> None:
    p.below(p.between(3, 5))


def _line(p: Placing) -> None:
    p.object.width = max(p.object.width, 2.2 * p.subject.width)
    p.below(-p.between(-1, 2), drift=0.45)


def _above(p: Placing) -> None:
    s, o = p.subject, p.object
    o.x, o.y = s.centre - o.width / 2 + p.between(-0.3, 0.3) * o.width, s.bottom + p.between(-2, 9)


def _cover(p: Placing) -> None:
    s, o = p.subject, p.object
    s.width, s.height = o.width * p.between(0.8, 1.0), max(5.0, o.height * p.between(0.35, 0.5))
    o.x, o.y, o.depth = s.centre - o.width / 2, s.y + p.between(0, 2), s.depth - 1


def _covered(p: Placing) -> None:
    s, o = p.subject, p.object
    o.width, o.height = s.width * p.between(0.85, 1.0), max(5.0, s.height * p.between(0.35, 0.5))
    o.x, o.y, o.depth = s.centre - o.width / 2, s.y - p.between(0, 2), s.depth + 1


def _under(p: Placing) -> None:
    s, o = p.subject, p.object
    o.x, o.y = s.centre - o.width / 2 + p.between(-0.3, 0.3) * o.width, s.y - o.height + p.between(-4, 2)
    o.depth = s.depth + 0.5


def _near(p: Placing) -> None:
    p.beside(p.between(-2, 7))


def _attend(p: Placing) -> None:
    p.beside(-p.between(0.25, 0.5) * p.subject.width)
    p.object.depth = p.subject.depth + 1


def _lean(p: Placing) -> None:
    p.beside(-p.between(1, 3))


def _behind(p: Placing) -> None:
    s, o = p.subject, p.object
    o.x = s.centre - o.width / 2 + p.between(-0.35, 0.35) * s.width
    o.y, o.depth = s.bottom - o.height + p.between(0.2, 0.4) * s.height, s.depth + 1


def _front(p: Placing) -> None:
    s, o = p.subject, p.object
    o.x = s.centre - o.width / 2 + p.between(-0.35, 0.35) * s.width
    o.y, o.depth = s.bottom - o.height - p.between(0.2, 0.4) * s.height, s.depth - 1


def _inside(p: Placing) -> None:
    s, o = p.subject, p.object
    o.width = max(o.width, 1.25 * s.width)
    o.height = max(o.height, 0.75 * s.height)
    o.x = s.centre - o.width / 2 + p.between(-0.1, 0.1) * (o.width - s.width)
    o.y, o.depth = s.y + s.height * p.between(0.35, 0.55), s.depth + 1  # the upper part looks out


# group of the garment -> share of a person's width and height that it takes, and where its top is
_WORN = {
    "headwear": (0.8, 0.2, -0.1),
    "top": (0.74, 0.33, 0.25),
    "bottom": (0.66, 0.34, 0.56),
    "footwear": (0.72, 0.1, 0.9),
}


def _wear(p: Placing) -> None:
    s, o = p.subject, p.object
    garment = o.kind.group
    if s.kind.group == "animal":
        head = garment == "headwear"
        o.width, o.height = s.width * (0.34 if head else 0.45), s.height * (0.3 if head else 0.42)
        middle = 0.84 if head else 0.42
        o.y = s.y - o.height * 0.55 if head else s.y + s.height * 0.22
    else:
        width, height, top = _WORN[garment]
        width = 0.24 if o.name == "tie" else width
        o.width, o.height = s.width * width * p.between(0.9, 1.1), s.height * height * p.between(0.85, 1.1)
        middle, o.y = 0.5, s.y + s.height * top
    o.x = s.x + s.width * (middle if not s.flip else 1 - middle) - o.width / 2
    o.depth = s.depth + 1


def _hold(p: Placing) -> None:
    p.at_hand(p.between(0.4, 0.55), p.between(-1, 3))


def _carry(p: Placing) -> None:
    s, o = p.subject, p.object
    o.x, o.y, o.depth = s.centre - o.width / 2 + p.between(-2, 2), s.y - o.height - p.between(1, 3), s.depth + 1


def _use(p: Placing) -> None:
    p.at_hand(p.between(0.06, 0.16), -p.subject.width * p.between(0.1, 0.3))


def _eat(p: Placing) -> None:
    s, o = p.subject, p.object
    shrink = min(1.0, 0.6 * max(s.width, 14.0) / o.width)
    o.width, o.height = o.width * shrink, o.height * shrink
    if s.kind.group == "animal":
        mouth = s.x if s.flip else s.right
    else:
        mouth = s.centre - p.side * s.width * 0.2
    o.x, o.y, o.depth = mouth - o.width / 2, s.y + s.height * 0.2 - o.height * 0.3, s.depth + 1


def _look(p: Placing) -> None:
    s, o = p.subject, p.object
    p.beside(p.between(5, 12), opposite=True)
    s.flip = o.centre < s.centre
    o.y = s.y + s.height * p.between(0.0, 0.4) - o.height / 2 + 2


def _hang(p: Placing) -> None:
    s, o = p.subject, p.object
    o.x = s.centre - o.width / 2 + p.between(-0.3, 0.3) * o.width
    o.y, o.depth = s.y - o.height * p.between(0.55, 0.9) - p.between(3, 6), s.depth - 1


def _fixed(p: Placing) -> None:
    s, o = p.subject, p.object
    o.width = o.width if o.width < 10 else max(o.width, 1.6 * s.width)  # poles stay thin
    o.height = max(o.height, 1.4 * s.height)
    o.x = s.centre - o.width / 2 + p.between(-0.3, 0.3) * (o.width - s.width)
    o.y = s.y + s.height / 2 - o.height / 2 + p.between(-0.3, 0.3) * (o.height - s.height)
    o.depth = s.depth - 1


def _part_offset(part: Thing, whole: Thing, rng: random.Random) -> tuple[float, float]:
    """Where a part sits on its whole, from the whole's corner; parts are cut to size first."""
    if part.name in ("wheel", "tire"):
        part.width = part.height = min(part.width, 0.45 * max(whole.height, 12))
        return rng.choice([0.05, 0.72]) * (whole.width - part.width), whole.height - part.height * 0.9
    if part.name == "tail":
        part.width, part.height = min(part.width, 0.4 * whole.width), min(part.height, 0.35 * whole.height)
        part.flip = whole.flip
        return (whole.width - part.width * 0.3 if whole.flip else -part.width * 0.7), whole.height * 0.2
    part.width, part.height = min(part.width, 0.3 * whole.width), min(part.height, 0.5 * whole.height)
    if part.name == "window":
        return rng.uniform(0.1, 0.9) * (whole.width - part.width), whole.height * rng.uniform(0.12, 0.3)
    return rng.uniform(0.2, 0.7) * (whole.width - part.width), whole.height - part.height


def _belong(p: Placing) -> None:
    dx, dy = _part_offset(p.subject, p.object, p.rng)
    p.object.x, p.object.y, p.object.depth = p.subject.x - dx, p.subject.y - dy, p.subject.depth - 1


def _have(p: Placing) -> None:
    dx, dy = _part_offset(p.object, p.subject, p.rng)
    p.object.x, p.object.y, p.object.depth = p.subject.x + dx, p.subject.y + dy, p.subject.depth + 1


# action -> (how the object is placed, the mark that shows the connection)
PLACEMENTS: dict[str, tuple[Callable[[Placing], None], str | None]] = {
    "stand": (_stand, None),
    "sit": (_stand, None),
    "lie": (_stand, None),
    "walk": (_stand, None),
    "wade": (_wade, "ripples"),
    "ride": (_ride, None),
    "back": (_back, "strap"),
    "rest": (_stand, None),
    "park": (_park, "kerb"),
    "line": (_line, "dots"),
    "grow": (_stand, "roots"),
    "above": (_above, None),
    "cover": (_cover, None),
    "covered": (_covered, "flakes"),
    "under": (_under, None),
    "near": (_near, None),
    "attend": (_attend, None),
    "lean": (_lean, "prop"),
    "behind": (_behind, None),
    "front": (_front, None),
    "inside": (_inside, None),
    "wear": (_wear, None),
    "hold": (_hold, "arm"),
    "carry": (_carry, "arms"),
    "use": (_use, "arm"),
    "eat": (_eat, "bite"),
    "look": (_look, "sight"),
    "hang": (_hang, "string"),
    "mount": (_fixed, "bolts"),
    "paint": (_fixed, None),
    "belong": (_belong, None),
    "have": (_have, None),
}
