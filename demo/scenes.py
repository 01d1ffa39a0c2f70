"""From facts to a scene: clusters of things that have to do with one another, arranged in a picture and annotated."""

import math
import random
from dataclasses import dataclass, field

from demo.actions import ACTIONS
from demo.placements import PLACEMENTS, Placing
from demo.things import Thing, make_thing
from demo.vocabulary import OBJECT_NAMES
from demo.world import Fact, World

_POSES = {"stand": "stand", "sit": "sit", "lie": "lie", "walk": "walk", "wade": "walk", "ride": "ride", "back": "sit"}


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
    assert first is not None  # some class can always do something
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
    place(Placing(subject, object_, side, rng))
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
    background = rng.randint(190, 250), rng.randint(190, 250), rng.randint(190, 250)
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
