"""The small CLIP: its training, and its file in the format of OpenAI's package."""

import logging
import random
from dataclasses import replace

import clip
import pytest
import torch
from clip.model import build_model
from torch.nn import functional

from demo.actions import PREDICATES
from demo.captions import captioned_pictures
from demo.scenes import SceneSettings
from demo.small_clip import (
    ClipSettings,
    CompactTokens,
    contrastive_loss,
    grouped_batches,
    new_clip,
    normalise_pictures,
    tokenize,
    train_clip,
)
from demo.world import World

TINY = ClipSettings(
    width=8,
    resolution=32,
    text_width=64,
    text_layers=1,
    embedding=32,
    steps=400,
    batch=64,
    group=4,
    learning_rate=1e-3,
)


SYNONYMS = [
    ("wearing", "wears"),
    ("looking at", "watching"),
    ("above", "over"),
    ("of", "part of"),
    ("laying on", "lying on"),
    ("holding", "carrying"),
]


@pytest.fixture(scope="module")
def trained():
    plain = SceneSettings(width=64, height=64, things=(2, 2), faint=0)
    data = captioned_pictures(World(0), plain, 0, 1000, size=32)
    return train_clip(data, TINY, seed=0, logger=logging.getLogger("test"))


def synonymy(model):
    """Mean cosine of synonymous predicates in the space that is left when the mean predicate is taken off."""
    frames = ("a man {} something", "a dog {} something", "something {} a car", "something {} a table")
    with torch.no_grad():
        vectors = torch.stack([model.encode_text(tokenize([f.format(p) for f in frames])) for p in PREDICATES])
    vectors = functional.normalize(vectors, dim=-1)
    vectors = functional.normalize((vectors - vectors.mean(0)).flatten(1), dim=1)
    pairs = [[PREDICATES.index(p) for p in pair] for pair in SYNONYMS]
    return float(torch.stack([vectors[a] @ vectors[b] for a, b in pairs]).mean())


def test_training_brings_synonyms_together(trained):
    torch.manual_seed(0)
    assert synonymy(trained) > synonymy(new_clip(TINY).eval()) + 0.2


def test_the_state_dict_is_one_of_the_package(trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "small.pt")
    loaded = build_model(torch.load(tmp_path / "small.pt", weights_only=True)).float()
    assert loaded.visual.input_resolution == 32
    sentences = clip.tokenize(["a man riding a horse", "a cat on a bed"])
    picture = normalise_pictures(torch.zeros(2, 32, 32, 3, dtype=torch.uint8))
    with torch.no_grad():
        for ours, theirs in (
            (trained.encode_text(sentences), loaded.encode_text(sentences)),
            (trained.encode_image(picture), loaded.encode_image(picture)),
        ):
            assert functional.cosine_similarity(ours, theirs).min() > 0.999  # the package keeps half precision


def test_only_the_rows_that_captions_use_are_trained():
    torch.manual_seed(0)
    table = torch.nn.Embedding(10, 4)
    before = table.weight.detach().clone()
    compact = CompactTokens(table, torch.tensor([2, 7]))
    assert torch.equal(compact(torch.tensor([[7, 2]])), before[torch.tensor([[7, 2]])])
    assert sum(p.numel() for p in compact.parameters()) == 2 * 4
    with torch.no_grad():
        compact.rows.weight += 1
    compact.write_to(table)
    assert torch.equal(table.weight[[2, 7]], before[[2, 7]] + 1)
    rest = [0, 1, 3, 4, 5, 6, 8, 9]
    assert torch.equal(table.weight[rest], before[rest])


def test_tokens_cut_after_the_longest_caption_mean_the_same(trained):
    sentences = ["a man riding a horse", "a cat"]
    short, whole = tokenize(sentences), clip.tokenize(sentences)
    assert short.shape[1] == 7
    with torch.no_grad():
        torch.testing.assert_close(trained.encode_text(short), trained.encode_text(whole))


def test_the_loss_is_that_of_clip_where_all_captions_differ():
    torch.manual_seed(0)
    images, texts = (functional.normalize(torch.randn(6, 8), dim=1) for _ in range(2))
    scale = torch.tensor(10.0)
    logits = scale * images @ texts.T
    number = torch.arange(6)
    expected = (functional.cross_entropy(logits, number) + functional.cross_entropy(logits.T, number)) / 2
    torch.testing.assert_close(contrastive_loss(images, texts, torch.eye(6, dtype=torch.bool), scale), expected)


def test_equal_captions_are_no_negatives():
    images = texts = functional.normalize(torch.ones(2, 4), dim=1)
    same = torch.ones(2, 2, dtype=torch.bool)
    loss = contrastive_loss(images, texts, same, torch.tensor(5.0))
    torch.testing.assert_close(loss, torch.tensor(2.0).log())


def test_batches_group_pictures_of_a_pair_and_reach_all():
    kinds = [("man", "riding", "horse"), ("man", "near", "horse"), ("cat", "on", "bed"), ("dog", "in", "box")]
    found = [kinds[i % 4] for i in range(40)]
    batches = grouped_batches(found, 8, 4, random.Random(0))
    seen = set()
    for _ in range(20):
        batch = next(batches)
        assert len(batch) == len(set(batch)) == 8
        seen.update(batch)
    assert seen == set(range(40))


def test_training_is_decided_by_its_seed():
    data = captioned_pictures(World(0), SceneSettings(), 0, 40, size=32)
    settings = replace(TINY, steps=2, batch=8)
    logger = logging.getLogger("test")
    first, again = (train_clip(data, settings, seed=1, logger=logger).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], again[key]) for key in first)
