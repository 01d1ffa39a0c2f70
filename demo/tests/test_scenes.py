"""Scenes and their pictures."""

import random

import numpy as np
import pytest

from demo.actions import ACTIONS
from demo.drawing import MARKS, draw_scene
from demo.placements import PLACEMENTS, Placing
from demo.scenes import SceneSettings, make_scene
from demo.things import make_thing
from demo.world import World


@pytest.fixture(scope="module")
def world():
    return World(0)


@pytest.fixture(scope="module")
def scenes(world):
    return [make_scene(world, random.Random(i), SceneSettings(), training=i % 2 == 0) for i in range(150)]


def test_scenes_hold_as_many_things_as_asked_all_inside(scenes):
    assert {len(scene.things) for scene in scenes} == {8, 9, 10, 11, 12}
    for scene in scenes:
        for thing in scene.things:
            assert thing.x >= -1e-6 and thing.y >= -1e-6 and thing.width > 1 and thing.height > 1
            assert thing.right <= scene.width + 1e-6 and thing.bottom <= scene.height + 1e-6


def test_relations_join_two_different_things_of_the_scene(scenes):
    for scene in scenes:
        ids = {id(thing) for thing in scene.things}
        for relation in scene.relations:
            assert {id(relation.subject), id(relation.object)} <= ids
            assert relation.subject is not relation.object


def test_annotated_words_belong_to_the_action(scenes):
    for relation in (r for scene in scenes for r in scene.relations if r.action != "chance"):
        assert relation.predicate in ACTIONS[relation.action].words


def test_annotations_of_training_scenes_hold_nothing_that_is_held_out(world, scenes):
    held = set.union(*world.held_out_triplets().values())
    for relation in (r for scene in scenes[::2] for r in scene.relations):
        assert (relation.subject.name, relation.predicate, relation.object.name) not in held
        assert (relation.subject.name, relation.object.name) not in world.unseen_pairs


def test_some_relations_are_overlooked_and_some_named_twice(world):
    plain = SceneSettings(unlabelled=0, second_word=0, chance_relations=0)
    for i in range(20):
        scene = make_scene(world, random.Random(i), plain)
        pairs = [(id(r.subject), id(r.object)) for r in scene.relations]
        assert len(set(pairs)) == len(pairs)
        things = sum(len(c.things) for c in scene.clusters)
        assert len(pairs) == things - len(scene.clusters)  # each thing but the first of a cluster is an object once
    nothing = make_scene(world, random.Random(0), SceneSettings(unlabelled=1, chance_relations=0))
    assert nothing.relations == []


@pytest.mark.parametrize("action", ACTIONS)
def test_places_say_what_is_done(world, action):
    place, mark = PLACEMENTS[action]
    assert mark is None or mark in MARKS
    for i, (subject_name, object_name) in enumerate(world.pairs[action]):
        rng = random.Random(i)
        subject, object_ = make_thing(subject_name, rng), make_thing(object_name, rng)
        place(Placing(subject, object_, 1, rng))
        if action in ("stand", "sit", "lie", "walk", "rest", "park", "above"):
            assert subject.y + subject.height / 2 < object_.y + object_.height
        elif action == "under":
            assert object_.y < subject.y
        elif action in ("behind", "wade", "inside", "hold", "have", "wear"):
            assert object_.depth > subject.depth
        elif action in ("front", "mount", "belong", "ride"):
            assert object_.depth < subject.depth
        elif action == "near":
            assert object_.x > subject.right - 3 or object_.right < subject.x + 3


def test_a_picture_is_decided_by_its_seed(world):
    def picture(seed):
        rng = random.Random(seed)
        return np.asarray(draw_scene(make_scene(world, rng, SceneSettings()), rng))

    assert picture(1).shape == (128, 160, 3)
    assert np.array_equal(picture(1), picture(1))
    assert not np.array_equal(picture(1), picture(2))


def test_things_are_drawn_within_their_boxes(world):
    rng = random.Random(5)
    scene = make_scene(world, rng, SceneSettings(things=(2, 2)))
    for cluster in scene.clusters:
        cluster.marks.clear()
    drawn = np.asarray(draw_scene(scene, random.Random(0)), dtype=int)
    inside = np.zeros(drawn.shape[:2], dtype=bool)
    for thing in scene.things:
        x0, y0, x1, y1 = thing.box
        inside[int(y0) : int(y1) + 2, int(x0) : int(x1) + 2] = True
    scene.clusters.clear()
    empty = np.asarray(draw_scene(scene, random.Random(0)), dtype=int)
    assert np.array_equal(drawn[~inside], empty[~inside])
    assert np.abs(drawn - empty)[inside].mean() > 10
