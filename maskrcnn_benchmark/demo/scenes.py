"""From facts to a scene: things with places and poses, put together so that the picture shows the action."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from maskrcnn_benchmark.demo.vocabulary import OBJECT_NAMES, OBJECTS, ObjectClass
from maskrcnn_benchmark.demo.world import ACTIONS, Fact, World

_SKINS = ((240, 200, 170), (150, 100, 70), (200, 150, 110), (90, 60, 45))
_HAIR = ((40, 30, 25), (110, 70, 30), (220, 180, 90), (150, 150, 150))
_POSES = {"stand": "stand", "sit": "sit", "lie": "lie", "walk": "walk", "wade": "walk", "ride": "ride", "back": "sit"}


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


@dataclass(eq=False)
class Mark:
    """What shows that two things are connected: an arm, a string, a line of sight (`drawing.MARKS`)."""

    kind: str
    subject: Thing
    object: Thing


@dataclass(eq=False)
class Relation:
    subject: Thing
    object: Thing
    predicate: str
    action: str


@dataclass
class Cluster:
    """Things that have to do with one another, in coordinates of their own."""

    things: list[Thing] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def box(self) -> tuple[float, float, float, float]:
        boxes = [thing.box for thing in self.things]
        return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)

    def transform(self, scale: float, dx: float, dy: float) -> None:
        """Scale about the origin, then move."""
        for thing in self.things:
            thing.x, thing.y = thing.x * scale + dx, thing.y * scale + dy
            thing.width, thing.height = thing.width * scale, thing.height * scale


@dataclass
class Scene:
    """A picture before it is drawn, in pixels; clusters are drawn in their order, the last one on top."""

    width: int
    height: int
    background: tuple[int, int, int]
    clusters: list[Cluster]
    chance: list[Relation] = field(default_factory=list)

    @property
    def things(self) -> list[Thing]:
        return [thing for cluster in self.clusters for thing in cluster.things]

    @property
    def relations(self) -> list[Relation]:
        return [relation for cluster in self.clusters for relation in cluster.relations] + self.chance


@dataclass(frozen=True)
class SceneSettings:
    """How pictures are composed.

    Attributes:
        width, height: pixels.
        things: fewest and most objects of a picture.
        faint: share of the relations whose pose or mark is not drawn; only places then tell what goes on.
        unlabelled: share of the relations that the annotators overlook.
        second_word: share of the relations that get a second predicate.
        chance_relations: at most so many things that touch by chance are annotated too.
    """

    width: int = 160
    height: int = 128
    things: tuple[int, int] = (8, 12)
    faint: float = 0.08
    unlabelled: float = 0.08
    second_word: float = 0.05
    chance_relations: int = 1


def make_thing(name: str, rng: random.Random) -> Thing:
    """A thing of a class with its own size, colour and side that it faces."""
    kind = OBJECTS[name]
    size = rng.uniform(0.85, 1.15)
    colour = tuple(max(0, min(255, channel + rng.randint(-28, 28))) for channel in kind.colour)
    width = kind.width * size * rng.uniform(0.92, 1.08)
    return Thing(name, width, kind.height * size, colour, rng.choice(_SKINS), rng.choice(_HAIR), rng.random() < 0.5)


@dataclass
class _Placing:
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


def _stand(p: _Placing) -> None:
    p.below(p.between(1, 3))
    if p.object.name == "chair":
        p.object.y = p.subject.bottom - p.object.height * 0.5
    if p.object.name == "bed":
        p.object.y = p.subject.bottom - p.object.height * 0.4


def _wade(p: _Placing) -> None:
    p.below(p.subject.height * p.between(0.2, 0.3), depth=1)


def _ride(p: _Placing) -> None:
    s, o = p.subject, p.object
    o.x, o.y, o.depth = s.centre - o.width / 2 + p.between(-3, 3), s.y + s.height * p.between(0.6, 0.72), s.depth - 1


def _back(p: _Placing) -> None:
    s, o = p.subject, p.object
    rear = 0.22 if not o.flip else 0.78  # animals face right unless flipped
    o.x, o.y, o.depth = s.centre - o.width * rear, s.bottom - p.between(2, 4), s.depth - 1


def _park(p: _Placing) -> None:
    p.below(p.between(3, 5))


def _line(p: _Placing) -> None:
    p.object.width = max(p.object.width, 2.2 * p.subject.width)
    p.below(-p.between(-1, 2), drift=0.45)


def _above(p: _Placing) -> None:
    s, o = p.subject, p.object
    o.x, o.y = s.centre - o.width / 2 + p.between(-0.3, 0.3) * o.width, s.bottom + p.between(-2, 9)


def _cover(p: _Placing) -> None:
    s, o = p.subject, p.object
    s.width, s.height = o.width * p.between(0.8, 1.0), max(5.0, o.height * p.between(0.35, 0.5))
    o.x, o.y, o.depth = s.centre - o.width / 2, s.y + p.between(0, 2), s.depth - 1


def _covered(p: _Placing) -> None:
    s, o = p.subject, p.object
    o.width, o.height = s.width * p.between(0.85, 1.0), max(5.0, s.height * p.between(0.35, 0.5))
    o.x, o.y, o.depth = s.centre - o.width / 2, s.y - p.between(0, 2), s.depth + 1


def _under(p: _Placing) -> None:
    s, o = p.subject, p.object
    o.x, o.y = s.centre - o.width / 2 + p.between(-0.3, 0.3) * o.width, s.y - o.height + p.between(-4, 2)
    o.depth = s.depth + 0.5


def _near(p: _Placing) -> None:
    p.beside(p.between(-2, 7))


def _attend(p: _Placing) -> None:
    p.beside(-p.between(0.25, 0.5) * p.subject.width)
    p.object.depth = p.subject.depth + 1


def _lean(p: _Placing) -> None:
    p.beside(-p.between(1, 3))


def _behind(p: _Placing) -> None:
    s, o = p.subject, p.object
    o.x = s.centre - o.width / 2 + p.between(-0.35, 0.35) * s.width
    o.y, o.depth = s.bottom - o.height + p.between(0.2, 0.4) * s.height, s.depth + 1


def _front(p: _Placing) -> None:
    s, o = p.subject, p.object
    o.x = s.centre - o.width / 2 + p.between(-0.35, 0.35) * s.width
    o.y, o.depth = s.bottom - o.height - p.between(0.2, 0.4) * s.height, s.depth - 1


def _inside(p: _Placing) -> None:
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


def _wear(p: _Placing) -> None:
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


def _hold(p: _Placing) -> None:
    p.at_hand(p.between(0.4, 0.55), p.between(-1, 3))


def _carry(p: _Placing) -> None:
    s, o = p.subject, p.object
    o.x, o.y, o.depth = s.centre - o.width / 2 + p.between(-2, 2), s.y - o.height - p.between(1, 3), s.depth + 1


def _use(p: _Placing) -> None:
    p.at_hand(p.between(0.06, 0.16), -p.subject.width * p.between(0.1, 0.3))


def _eat(p: _Placing) -> None:
    s, o = p.subject, p.object
    shrink = min(1.0, 0.6 * max(s.width, 14.0) / o.width)
    o.width, o.height = o.width * shrink, o.height * shrink
    if s.kind.group == "animal":
        mouth = s.x if s.flip else s.right
    else:
        mouth = s.centre - p.side * s.width * 0.2
    o.x, o.y, o.depth = mouth - o.width / 2, s.y + s.height * 0.2 - o.height * 0.3, s.depth + 1


def _look(p: _Placing) -> None:
    s, o = p.subject, p.object
    p.beside(p.between(5, 12), opposite=True)
    s.flip = o.centre < s.centre
    o.y = s.y + s.height * p.between(0.0, 0.4) - o.height / 2 + 2


def _hang(p: _Placing) -> None:
    s, o = p.subject, p.object
    o.x = s.centre - o.width / 2 + p.between(-0.3, 0.3) * o.width
    o.y, o.depth = s.y - o.height * p.between(0.55, 0.9) - p.between(3, 6), s.depth - 1


def _fixed(p: _Placing) -> None:
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


def _belong(p: _Placing) -> None:
    dx, dy = _part_offset(p.subject, p.object, p.rng)
    p.object.x, p.object.y, p.object.depth = p.subject.x - dx, p.subject.y - dy, p.subject.depth - 1


def _have(p: _Placing) -> None:
    dx, dy = _part_offset(p.object, p.subject, p.rng)
    p.object.x, p.object.y, p.object.depth = p.subject.x + dx, p.subject.y + dy, p.subject.depth + 1


# action -> (how the object is placed, the mark that shows the connection)
PLACEMENTS: dict[str, tuple[Callable[[_Placing], None], str | None]] = {
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


# slot of a relation -> slots that its object cannot use for a relation of its own
_BUSY = {
    "below": frozenset({"above"}),
    "above": frozenset({"below"}),
    "side": frozenset({"side"}),
    "arm": frozenset({"below", "above", "side"}),
    "body": frozenset({"below", "above", "side"}),
}


def _take_pose(thing: Thing, action: str, settings: SceneSettings, rng: random.Random) -> None:
    """Give a person or an animal the pose of what it does, now and then not (`SceneSettings.faint`)."""
    group = thing.kind.group
    if group not in ("person", "animal") or action not in _POSES or rng.random() < settings.faint:
        return
    thing.pose = _POSES[action]
    if thing.pose == "lie" and group == "person":
        thing.width, thing.height = thing.height, thing.width
    elif thing.pose == "lie":
        thing.height *= 0.6
    elif thing.pose == "sit":
        thing.height *= 0.8


def make_cluster(
    world: World, settings: SceneSettings, rng: random.Random, training: bool, flatness: float, most: int
) -> Cluster:
    """A subject with up to three relations, some of whose objects have a relation of their own.

    Args:
        training, flatness: see `World.fact`.
        most: at most so many things.
    """
    first = world.fact(rng, training=training, flatness=flatness)
    subject = make_thing(first.subject, rng)
    cluster = Cluster([subject])
    facts = [first]
    if not ACTIONS[first.action].solo:
        for _ in range(rng.choices([0, 1, 2], [0.35, 0.4, 0.25])[0]):
            taken = frozenset(ACTIONS[fact.action].slot for fact in facts)
            if more := world.fact(rng, first.subject, training, flatness, taken, solo=False):
                facts.append(more)
    for fact in facts:  # before anything is placed: poses change sizes
        _take_pose(subject, fact.action, settings, rng)
    side = rng.choice([-1, 1])
    for fact in facts:
        if len(cluster.things) >= most:
            break
        object_ = make_thing(fact.object, rng)
        more = None
        if len(cluster.things) + 2 <= most and rng.random() < 0.3:
            taken = _BUSY[ACTIONS[fact.action].slot]
            more = world.fact(rng, object_.name, training, flatness, taken, solo=False)
        if more:
            _take_pose(object_, more.action, settings, rng)
        _relate(cluster, subject, object_, fact, side, settings, rng)
        if more:
            _relate(cluster, object_, make_thing(more.object, rng), more, side, settings, rng)
    return cluster


def _relate(
    cluster: Cluster, subject: Thing, object_: Thing, fact: Fact, side: int, settings: SceneSettings, rng: random.Random
) -> None:
    """Add the object of a fact to a cluster, in its place and with its mark."""
    place, mark = PLACEMENTS[fact.action]
    place(_Placing(subject, object_, side, rng))
    visible = rng.random() >= settings.faint
    if fact.action == "paint":
        subject.painted = visible
    if mark and visible:
        cluster.marks.append(Mark(mark, subject, object_))
    cluster.things.append(object_)
    cluster.relations.append(Relation(subject, object_, fact.predicate, fact.action))


def make_scene(
    world: World, rng: random.Random, settings: SceneSettings, training: bool = False, flatness: float = 0.0
) -> Scene:
    """A picture's worth of clusters and single things, with the relations that annotators write down.

    Args:
        training: show only what training may show.
        flatness: see `World.fact`.
    """
    wanted = rng.randint(*settings.things)
    clusters: list[Cluster] = []
    count = 0
    singles = rng.choice([0, 1, 1, 2])
    while count < wanted - singles:
        cluster = make_cluster(world, settings, rng, training, flatness, most=min(4, wanted - count))
        clusters.append(cluster)
        count += len(cluster.things)
    while count < wanted:
        clusters.append(Cluster([make_thing(rng.choice(OBJECT_NAMES), rng)]))
        count += 1
    _arrange(clusters, settings, rng)
    background = tuple(rng.randint(190, 250) for _ in range(3))
    scene = Scene(settings.width, settings.height, background, clusters)
    _annotate(scene, world, settings, rng, training)
    return scene


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def _arrange(clusters: list[Cluster], settings: SceneSettings, rng: random.Random) -> None:
    """Scale the clusters to the picture and put each where it hides little of the others; far ones are drawn first."""
    areas = [(c.box[2] - c.box[0]) * (c.box[3] - c.box[1]) for c in clusters]
    common = math.sqrt(0.95 * settings.width * settings.height / sum(areas))
    placed: list[tuple[float, float, float, float]] = []
    for cluster in sorted(clusters, key=lambda c: -len(c.things)):
        x0, y0, x1, y1 = cluster.box
        fit = min((settings.width - 2) / (x1 - x0), (settings.height - 2) / (y1 - y0))
        scale = min(1.35, fit, max(0.7, common) * rng.uniform(0.85, 1.1))
        width, height = (x1 - x0) * scale, (y1 - y0) * scale
        corners = [
            (rng.uniform(1, settings.width - 1 - width), rng.uniform(1, settings.height - 1 - height))
            for _ in range(24)
        ]

        def hidden(corner: tuple[float, float], width: float = width, height: float = height) -> float:
            box = (*corner, corner[0] + width, corner[1] + height)
            return sum(_overlap(box, other) for other in placed)

        left, top = min(corners, key=hidden)
        placed.append((left, top, left + width, top + height))
        cluster.transform(scale, left - x0 * scale, top - y0 * scale)
    clusters.sort(key=lambda c: c.box[3])


def _annotate(scene: Scene, world: World, settings: SceneSettings, rng: random.Random, training: bool) -> None:
    """Turn what is shown into what is written down: some is overlooked, some said twice, some is mere chance."""
    for cluster in scene.clusters:
        kept = [relation for relation in cluster.relations if rng.random() >= settings.unlabelled]
        for relation in list(kept):
            if rng.random() < settings.second_word:
                word = world.word(relation.action, relation.subject.name, relation.object.name, rng)
                if word != relation.predicate:
                    kept.append(Relation(relation.subject, relation.object, word, relation.action))
        cluster.relations = kept
    touching = [
        (a, b)
        for index, cluster in enumerate(scene.clusters)
        for other in scene.clusters[index + 1 :]
        for a in cluster.things
        for b in other.things
        if _overlap(a.box, b.box)
    ]
    rng.shuffle(touching)
    for behind, front in touching[: rng.randint(0, settings.chance_relations)]:
        predicate = rng.choice(["behind", "near"])
        if not training or world.trainable_words(behind.name, predicate, front.name):
            scene.chance.append(Relation(behind, front, predicate, "chance"))
