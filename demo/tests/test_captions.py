"""Captions, captioned pictures and the knowledge base."""

import random
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image

from demo.actions import PREDICATES
from demo.captions import (
    PARTS,
    SENTENCES,
    caption,
    captioned_pictures,
    crop_pairs,
    web_captions,
    with_article,
)
from demo.scenes import Relation, SceneSettings, make_scene
from demo.things import make_thing
from demo.vocabulary import OBJECT_NAMES
from demo.world import World
from maskrcnn_benchmark.distant.captions import CaptionParser
from maskrcnn_benchmark.distant.knowledge_base import count_triplets


@pytest.fixture(scope="module")
def world():
    return World(0)


def test_captions_are_spelt_with_articles():
    assert with_article("elephant") == "an elephant" and with_article("man") == "a man"
    assert caption("man", "riding", "elephant", SENTENCES[0]) == "a man riding an elephant"
    assert caption("man", "riding", "elephant", PARTS[1]) == "something riding an elephant"


def test_a_crop_holds_both_things():
    rng = random.Random(0)
    subject, object_ = make_thing("man", rng), make_thing("car", rng)
    subject.x, subject.y, subject.width, subject.height = 10, 20, 10, 10
    object_.x, object_.y, object_.width, object_.height = 50, 40, 20, 10
    pixels = np.zeros((128, 160, 3), np.uint8)
    pixels[20:30, 10:20] = (255, 0, 0)
    pixels[40:50, 50:70] = (0, 255, 0)
    crop = crop_pairs(Image.fromarray(pixels), [Relation(subject, object_, "near", "near")], 64)[0]
    assert crop.shape == (64, 64, 3)
    red, green = (crop[..., 0] > 128).mean(), (crop[..., 1] > 128).mean()
    scale = 1 / ((60 * 1.16) * (30 * 1.16))
    assert red == pytest.approx(100 * scale, rel=0.2) and green == pytest.approx(200 * scale, rel=0.2)


def test_captioned_pictures_are_decided_by_the_seed_and_new_to_the_data_set(world):
    settings = SceneSettings()
    first, again = (captioned_pictures(world, settings, 7, 30, size=32) for _ in range(2))
    assert np.array_equal(first.pictures, again.pictures) and first.triplets == again.triplets
    assert first.pictures.shape == (30, 32, 32, 3)
    assert captioned_pictures(world, settings, 8, 30, size=32).triplets != first.triplets
    train = make_scene(world, random.Random("train 7 0"), settings, training=True)
    assert [r.subject.name for r in train.relations] != [t[0] for t in first.triplets[: len(train.relations)]]


def test_captions_cover_what_training_lacks_and_those_of_the_control_do_not(world):
    held = set.union(*world.held_out_triplets().values())
    everything = captioned_pictures(world, SceneSettings(), 0, 600, size=16).triplets
    control = captioned_pictures(world, SceneSettings(), 0, 600, size=16, training_only=True).triplets
    assert sum(triplet in held for triplet in everything) > 0.08 * len(everything)
    assert not held & set(control)


def test_each_round_says_something_else_of_the_same_picture(world):
    data = captioned_pictures(world, SceneSettings(), 0, 20, size=16)
    rng = random.Random(0)
    assert data.captions(rng) != data.captions(rng)
    for sentence, (subject, predicate, object_) in zip(data.captions(rng, parts=0), data.triplets, strict=True):
        assert subject in sentence and predicate in sentence and object_ in sentence
    assert all("something" in sentence for sentence in data.captions(rng, parts=1))


def test_the_knowledge_base_is_true_of_the_words_and_mostly_false_of_the_picture(world):
    base = count_triplets(triplet for triplet, _ in web_captions(world, 0, 12_000))
    labels = defaultdict(set)  # pair of one training image -> its predicates
    for i in range(300):
        for relation in make_scene(world, random.Random(i), SceneSettings(), training=True).relations:
            labels[i, id(relation.subject), id(relation.object), relation.subject.name, relation.object.name].add(
                relation.predicate
            )
    candidates = {key: base.get(f"{key[3]}_{key[4]}", {}) for key in labels}
    right = sum(len(labels[key] & set(candidates[key])) for key in labels)
    assert 0.25 < right / sum(map(len, candidates.values())) < 0.42
    assert right / sum(map(len, labels.values())) > 0.6


def test_sentences_of_the_web_hold_their_triplets(world):
    for (subject, predicate, object_), sentence in web_captions(world, 0, 50):
        assert subject in sentence and f" {predicate} " in sentence and sentence.endswith(object_)


def test_every_caption_of_the_drawn_world_gives_its_triplet():
    parser = CaptionParser(OBJECT_NAMES, PREDICATES)
    wrong = [
        (said, sentence) for said, sentence in web_captions(World(0), 0, 1500) if parser.triplets(sentence) != [said]
    ]
    assert not wrong
