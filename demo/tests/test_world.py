"""What can happen in the drawn world, how often, and what its training never shows."""

import json
import random
from collections import Counter

import pytest
from support import PARITY

from demo.actions import ACTIONS, PREDICATES, is_possible
from demo.placements import PLACEMENTS
from demo.shapes import SHAPES
from demo.vocabulary import OBJECT_NAMES, OBJECTS, members
from demo.world import World

VG150 = json.loads((PARITY.parent / "vg150_names.json").read_text())


@pytest.fixture(scope="module")
def world():
    return World(3)


def facts(world, count, seed=0, **kwargs):
    rng = random.Random(seed)
    return [world.fact(rng, **kwargs) for _ in range(count)]


def test_names_are_those_of_visual_genome():
    assert set(OBJECT_NAMES) <= set(VG150["objects"]) and len(OBJECT_NAMES) >= 40
    assert set(PREDICATES) <= set(VG150["predicates"]) and len(PREDICATES) >= 20


def test_every_class_has_a_shape_and_every_action_a_placement():
    assert {kind.shape for kind in OBJECTS.values()} == set(SHAPES)
    assert set(PLACEMENTS) == set(ACTIONS)


def test_members_expand_groups_and_keep_classes():
    assert members("bird tail") == ["bird", "tail"]
    assert members("person man")[:2] == ["man", "woman"] and members("person man").count("man") == 1


def test_impossible_pairs_are_refused():
    assert not is_possible("near", "man", "man")
    assert is_possible("have", "bike", "wheel") and not is_possible("have", "dog", "wheel")
    assert not is_possible("wear", "dog", "shoe")


def test_a_world_is_decided_by_its_seed(world):
    again, other = World(3), World(4)
    assert facts(again, 50) == facts(world, 50)
    assert again.held_out_triplets() == world.held_out_triplets()
    assert facts(other, 50) != facts(world, 50)


def test_frequencies_have_a_long_tail(world):
    counts = Counter(fact.predicate for fact in facts(world, 6000))
    assert set(counts) == set(PREDICATES)
    common = counts.most_common()
    assert sum(n for _, n in common[:5]) > 0.4 * 6000
    assert common[-1][1] < 0.01 * 6000


def test_flat_draws_reach_rare_actions_more_often(world):
    natural, flat = (Counter(f.action for f in facts(world, 4000, flatness=x)) for x in (0.0, 1.0))
    assert flat["back"] > 2 * natural["back"]
    assert max(flat.values()) < 2.5 * 4000 / len(ACTIONS)


def test_training_never_shows_what_is_held_out(world):
    held = world.held_out_triplets()
    assert len(held["seen_pair"]) > 100 and len(held["new_pair"]) > 100
    shown = facts(world, 8000, training=True, flatness=0.5)
    triplets = {fact.triplet for fact in shown}
    pairs = {(fact.subject, fact.object) for fact in shown}
    assert not triplets & (held["seen_pair"] | held["new_pair"])
    assert not pairs & world.unseen_pairs
    # Of pairs that lack one of their actions, the others are shown.
    assert {(s, o) for s, _, o in held["seen_pair"]} & pairs


def test_other_draws_show_both_kinds_of_what_is_held_out(world):
    held = world.held_out_triplets()
    triplets = [fact.triplet for fact in facts(world, 4000)]
    for kind in held.values():
        assert sum(triplet in kind for triplet in triplets) > 0.03 * len(triplets)


def test_words_depend_on_the_classes(world):
    shares = [world.word_shares("wear", *pair)["wearing"] for pair in world.pairs["wear"]]
    assert all(0 < share < 1 for share in shares)
    assert max(shares) - min(shares) > 0.3
    pair = next(iter(world.pairs["wear"]))
    assert sum(world.word_shares("wear", *pair).values()) == pytest.approx(1)


def test_a_subject_does_one_thing_with_each_part_of_itself(world):
    rng = random.Random(0)
    taken = frozenset({"below", "body", "arm"})
    for _ in range(50):
        fact = world.fact(rng, "man", taken_slots=taken)
        assert ACTIONS[fact.action].slot not in taken and fact.subject == "man"
    assert world.fact(rng, "tail", taken_slots=frozenset({"below"})) is None
